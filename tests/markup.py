"""What is read off a page's markup: whether it is well formed, and what it does without."""

from __future__ import annotations

from html.parser import HTMLParser

# What has no end tag; what no paragraph, label and the like can hold; and these.
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
BLOCKS = {"article", "div", "dl", "fieldset", "form", "h1", "h2", "h3", "ol", "p", "pre", "section", "table", "ul"}
PHRASES = {"p", "span", "a", "strong", "label", "button", "h1", "h2", "h3", "dt"}


class Markup(HTMLParser):
    """Gathers the faults of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        holder = next((held for held in reversed(self.open) if held in PHRASES), None)
        if tag in BLOCKS and holder and not {"svg"} & set(self.open):
            self.found.append(f"<{tag}> in <{holder}>")
        if "style" in given or tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(f"<{tag}> brings its own style or script")
        self.found += [f"<{tag} {name}>" for name in given if name.startswith("on")]
        if tag == "input" and given.get("placeholder"):
            self.found.append(f"placeholder {given['placeholder']!r}")
        if "id" in given:
            self.ids.append(given["id"] or "")
        for name in ("for", "aria-describedby", "aria-labelledby", "form"):
            self.named += (given.get(name) or "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing: the parts of a drawing."""

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.found.append(f"</{tag}> where {self.open[-1:]} is open")
        elif tag not in VOID:
            self.open.pop()

    def handle_data(self, text: str) -> None:
        if self.open[-1:] == ["label"] and text.strip().endswith(":"):
            self.found.append(f"label {text!r}")


def faults(page: str) -> list[str]:
    """What is wrong with the page, a line each; nothing where all is well."""
    markup = Markup()
    markup.feed(page)
    twice = {name for name in markup.ids if markup.ids.count(name) > 1}
    missing = set(markup.named) - set(markup.ids)
    return [*markup.found, *(f"id {name} twice" for name in twice), *(f"no id {name}" for name in missing)]
