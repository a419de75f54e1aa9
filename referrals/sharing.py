"""How a link is shared: the channels, the mark that each leaves in the link, and the addresses that take a message."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

MESSAGE_MOST = 500

# The channels that the link's `via` may name, as `referrals.models.Channel` counts them.
COPY, EMAIL, WHATSAPP, X, FACEBOOK, LINKEDIN, TELEGRAM, DEVICE, QR = (
    "copy",
    "email",
    "whatsapp",
    "x",
    "facebook",
    "linkedin",
    "telegram",
    "device",
    "qr",
)


@dataclass(frozen=True)
class Channel:
    """Where a link may be sent. Of `form`, `{address}` becomes the link, `{message}` the message, `{text}` both."""

    name: str
    label: str | Promise
    form: str

    @property
    def takes_message(self) -> bool:
        return "{message}" in self.form or "{text}" in self.form


CHANNELS = (
    Channel(EMAIL, _("E-mail"), "mailto:?subject={subject}&body={text}"),
    Channel(WHATSAPP, "WhatsApp", "https://wa.me/?text={text}"),
    Channel(X, "X", "https://x.com/intent/post?text={message}&url={address}"),
    Channel(FACEBOOK, "Facebook", "https://www.facebook.com/sharer/sharer.php?u={address}"),
    Channel(LINKEDIN, "LinkedIn", "https://www.linkedin.com/sharing/share-offsite/?url={address}"),
    Channel(TELEGRAM, "Telegram", "https://t.me/share/url?url={address}&text={message}"),
)


@dataclass(frozen=True)
class ShareLink:
    """A channel with the link marked for it, where it leads with the message, and where with another one put in."""

    channel: Channel
    address: str
    href: str
    form: str


def marked(link: str, channel: str) -> str:
    """Return the link with the channel's mark."""
    return f"{link}?via={channel}"


def share_links(*, link: str, subject: str, message: str) -> list[ShareLink]:
    """Return where each channel leads. Pure."""
    return [_share_link(channel, marked(link, channel.name), subject, message) for channel in CHANNELS]


def _share_link(channel: Channel, address: str, subject: str, message: str) -> ShareLink:
    form = channel.form.replace("{address}", quote(address, safe="")).replace("{subject}", quote(subject, safe=""))
    href = form.replace("{message}", quote(message, safe="")).replace("{text}", quote(f"{message}\n{address}", safe=""))
    return ShareLink(channel, address, href, form)
