"""What the tests of pages share: a reader who is signed in, the page as text, and the present that the page sees."""

from __future__ import annotations

import html
import re
from datetime import datetime

import time_machine
from django.test import Client

from accounts.models import User
from accounts.operations import Identity, add_payment_method, pass_verification
from referrals.models import Referral
from tests.facts import NOW


def read(reader: User, address: str, *, at: datetime = NOW, status: int = 200) -> str:
    """Return the page as its reader sees it at an instant: its words, with single spaces."""
    with time_machine.travel(at, tick=False):
        client = Client()
        client.force_login(reader)
        response = client.get(address)
    assert response.status_code == status, response.status_code
    return words(response.content.decode())


def signed_in(reader: User) -> Client:
    client = Client()
    client.force_login(reader)
    return client


def words(page: str) -> str:
    body = re.sub(r"<(script|style|title)\b.*?</\1>", " ", page, flags=re.DOTALL)
    body = re.sub(r"</?(time|span|strong|a|code)\b[^>]*>", "", body)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def friend_address(friend: User) -> str:
    return f"/console/refer/{Referral.objects.get(friend=friend).pk}/"


def make_eligible(user: User, *, at: datetime = NOW) -> None:
    """Give the account what TERMS ask of a referrer."""
    add_payment_method(user_id=user.pk, now=at)
    identity = Identity("DE", "passport", user.account_id)
    pass_verification(user_id=user.pk, identity=identity, account_type=user.account_type, now=at)
