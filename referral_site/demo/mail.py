"""The mails that the file-based backend has written."""

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


def newest_mails(folder: Path) -> list[Mail]:
    """The newest mails in `folder`, the latest first."""
    newest = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    mails: list[Mail] = []
    for path in newest:
        mails += reversed(mails_of(path.read_bytes()))
        if len(mails) >= MOST:
            break
    return mails[:MOST]


def mails_of(content: bytes) -> list[Mail]:
    """The mails of one file, which the backend writes for each connection."""
    return [read_mail(raw) for raw in content.split(RULE) if raw.strip()]


def read_mail(raw: bytes) -> Mail:
    """One mail: its plain text, where it has one."""
    message = message_from_bytes(raw.lstrip(), policy=policy.default)
    body = message.get_body(preferencelist=("plain", "html"))
    return Mail(
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        text=str(body.get_content()).strip() if body else "",
    )
