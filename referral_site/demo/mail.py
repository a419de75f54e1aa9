"""The mails that the file-based backend has written."""

import base64
import hashlib
import re
from email import message_from_bytes, policy
from pathlib import Path
from typing import NamedTuple

# The backend ends every message with this line.
RULE = b"\n" + b"-" * 79 + b"\n"
MOST = 50


class Mail(NamedTuple):
    """One mail as its reader sees it."""

    to: str
    subject: str
    text: str
    html: str = ""
    place: str = ""
    """Where it lies: the name of its file, and its number there."""


def newest_mails(folder: Path) -> list[Mail]:
    """The newest mails in `folder`, the latest first."""
    newest = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    mails: list[Mail] = []
    for path in newest:
        mails += reversed(mails_of(path.read_bytes(), name=path.stem))
        if len(mails) >= MOST:
            break
    return mails[:MOST]


def mail_at(folder: Path, place: str) -> Mail | None:
    """The mail that lies there; None where there is none."""
    name, _, _number = place.rpartition("-")
    path = next((path for path in folder.glob("*.log") if path.stem == name), None)
    mails = mails_of(path.read_bytes(), name=name) if path else []
    return next((mail for mail in mails if mail.place == place), None)


def mails_of(content: bytes, *, name: str = "") -> list[Mail]:
    """The mails of one file, which the backend writes for each connection."""
    parts = [raw for raw in content.split(RULE) if raw.strip()]
    return [read_mail(raw)._replace(place=f"{name}-{number}") for number, raw in enumerate(parts)]


def read_mail(raw: bytes) -> Mail:
    """One mail: its plain text, and its HTML where it has one."""
    message = message_from_bytes(raw.lstrip(), policy=policy.default)
    body = message.get_body(preferencelist=("plain", "html"))
    html = message.get_body(preferencelist=("html",))
    return Mail(
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        text=str(body.get_content()).strip() if body else "",
        html=str(html.get_content()) if html else "",
    )


class Page(NamedTuple):
    """A mail's HTML as a page, and the hashes by which a policy without inline styles lets its own styles through."""

    html: str
    style_hashes: list[str]


def page_of(html: str) -> Page:
    """Move the styles that stand in attributes, as mail readers want them, into style sheets: they look the same."""
    looks: dict[str, str] = {}

    def mark(found: re.Match[str]) -> str:
        return f' data-look="{looks.setdefault(found[1], str(len(looks)))}"'

    marked = re.sub(r' style="([^"]*)"', mark, html)
    sheet = "".join(f'[data-look="{number}"]{{{rules}}}' for rules, number in looks.items())
    # Before the mail's own sheet, which has the last word; and links lead out of the frame.
    page = marked.replace("<head>", f'<head><base target="_top"><style>{sheet}</style>', 1)
    sheets = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    return Page(page, [f"'sha256-{_digest(one)}'" for one in sheets])


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
