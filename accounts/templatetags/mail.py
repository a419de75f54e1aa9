"""What the templates of mails are made of: each tag is a line of text in a text, and a piece of HTML in HTML."""

import textwrap
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, pgettext

from accounts.letters import Friend
from accounts.templatetags.wording import month

register = template.Library()

WIDTH = 72


@register.simple_block_tag(takes_context=True)
def paragraph(context: Mapping[str, Any], content: str) -> str:
    """A paragraph."""
    return _text(content) if context["is_text"] else _part("paragraph", content=content)


@register.simple_block_tag(takes_context=True)
def figures(context: Mapping[str, Any], content: str) -> str:
    """Lines that stand below one another."""
    if not context["is_text"]:
        return _part("figures", content=content)
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    return "\n\n" + "\n".join(lines) + "\n\n"


@register.simple_tag(takes_context=True)
def figure(context: Mapping[str, Any], name: str, value: str) -> str:
    """One line of `figures`: what it is, and how much."""
    return f"\n- {name}: {value}" if context["is_text"] else _part("figure", name=name, value=value)


@register.simple_tag(takes_context=True)
def button(context: Mapping[str, Any], address: str, label: str) -> str:
    """Where the reader goes from here."""
    return f"\n\n{label}:\n{address}\n\n" if context["is_text"] else _part("button", address=address, label=label)


@register.simple_tag(takes_context=True)
def notice(context: Mapping[str, Any], body: str, code: str) -> str:
    """A text that was worded before, as it is; in HTML by paragraphs, with its code and its links in view."""
    if context["is_text"]:
        return body
    paragraphs = [one.strip() for one in body.split("\n\n") if one.strip() and one.strip() != settings.OPERATOR_NAME]
    return _part("notice", paragraphs=[(_look_of(one, code), one) for one in paragraphs])


@register.simple_tag
def site(name: str, *args: object) -> str:
    """The full address of a page."""
    return f"{settings.SITE_URL}{reverse(name, args=args)}"


@register.filter
def friend_label(friend: Friend) -> str:
    """A friend, for a line of figures: the first name that they chose to show, and the month."""
    name = gettext("Former customer") if friend.is_gone else friend.public_first_name or gettext("Friend")
    return gettext("%(name)s, joined %(month)s") % {"name": name, "month": month(friend.joined_at)}


@register.filter
def your_friend(friend: Friend) -> str:
    """A friend, for the start of a sentence."""
    if friend.is_gone:
        words = gettext("Your friend who joined in %(month)s, and is a customer no more,")
    elif friend.public_first_name:
        words = gettext("Your friend %(name)s, who joined in %(month)s,")
    else:
        words = gettext("Your friend who joined in %(month)s")
    return words % {"name": friend.public_first_name, "month": month(friend.joined_at)}


@register.filter
def plain_day(at: datetime) -> str:
    """The date of an instant in the reader's zone."""
    return date_format(timezone.localtime(at), pgettext("date", "j M Y"))


@register.filter
def plain_moment(at: datetime) -> str:
    """The date, the time and the zone of an instant: 5 Mar 2026, 14:00 CET."""
    return date_format(timezone.localtime(at), pgettext("date, time and zone", "j M Y, H:i T"))


def _text(content: str) -> str:
    words = " ".join(content.split())
    return f"\n\n{textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)}\n\n"


def _look_of(text: str, code: str) -> str:
    if code and text == code:
        return "code"
    is_link = text.startswith(("http://", "https://")) and len(text.split()) == 1
    return "link" if is_link else "text"


def _part(part: str, **context: object) -> str:
    return render_to_string(f"mail/_{part}.html", context)
