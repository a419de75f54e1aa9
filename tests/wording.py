"""What of a page or a template is worded in the code and not marked for translation."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.utils import translation

from tests.markup import VOID

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "templates"

WORD = re.compile(r"[^\W\d_]{2,}")
# Of a template: comments and what is marked; then its tags, and what an include hands over word by word.
MARKED = re.compile(
    r"{% block (?:page|body)_class %}.*?{% endblock %}|{#.*?#}|{% comment.*?endcomment %}"
    r"|{% blocktrans.*?{% endblocktrans\w* %}",
    re.DOTALL,
)
TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
INCLUDE = re.compile(r"{% include .*?%}")
HANDED_OVER = re.compile(r'=\s*"([^"]*)"')
# Not a keyword, such as a tone.
SENTENCE = re.compile(r"[A-Z]|\w \w")
# Attributes that a reader sees or hears.
READ = {"aria-label", "alt", "title", "placeholder", "data-label", "label"}
READ_BY_ROBOTS = {"description", "og:title", "og:description"}
ON_BUTTONS = {"submit", "button", "reset"}


def speak_in_brackets(patch: pytest.MonkeyPatch) -> None:
    """Let every translated string come as ⟦string⟧: a language in which each can be told from what is not marked."""
    spoken = translation._trans  # type: ignore[attr-defined]  # what gettext and the others look into at every call
    patch.setattr(spoken, "gettext", bracketed)
    patch.setattr(spoken, "pgettext", lambda context, message: bracketed(message))
    patch.setattr(spoken, "ngettext", lambda one, many, number: bracketed(one if number == 1 else many))
    patch.setattr(spoken, "npgettext", lambda context, one, many, number: bracketed(one if number == 1 else many))


def bracketed(message: str) -> str:
    return f"⟦{message}⟧" if message else message


def unmarked(page: str) -> list[str]:
    """The pieces of text of a page in brackets that stand outside of them."""
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", page)) != page:
        page = shorter
    text = Text()
    text.feed(page)
    return [piece for piece in text.pieces if words_in(piece)]


def words_in(text: str) -> set[str]:
    """The words of a text; what has a digit in it is a code, a date or an amount."""
    return {word.lower() for word in WORD.findall(re.sub(r"\S*\d\S*", "", text))}


class Text(HTMLParser):
    """Gathers what a reader sees or hears of markup, even of a part of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.pieces += [value for name, value in given.items() if name in READ]
        if tag == "input" and given.get("type") in ON_BUTTONS:
            self.pieces.append(given.get("value", ""))
        if tag == "meta" and (given.get("name") or given.get("property")) in READ_BY_ROBOTS:
            self.pieces.append(given.get("content", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open) and data.strip():
            self.pieces.append(" ".join(data.split()))


def worded_templates() -> dict[str, list[str]]:
    """The site's templates that hold words of their own, and which."""
    names = sorted(
        str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*") if path.suffix in (".html", ".txt")
    )
    return {name: pieces for name in names if (pieces := words_of_its_own(name))}


def words_of_its_own(name: str) -> list[str]:
    """The pieces of text in a template that are not marked for translation."""
    source = MARKED.sub("", (TEMPLATES / name).read_text())
    said = [text for tag in INCLUDE.findall(source) for text in HANDED_OVER.findall(tag) if SENTENCE.search(text)]
    text = Text()
    text.feed(TAG.sub(" ", source.replace("<{%", "<b {%").replace("</{%", "</b {%")))
    text.close()
    return [piece for piece in (*text.pieces, *said) if WORD.search(piece)]
