"""Workers that share the outbox. The lock has its control: without it, each mail is sent by both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from django.core import mail

from accounts.models import OutboxMessage, User
from accounts.operations import Message, deliver, write_messages
from accounts.operations.outbox import delivery
from tests.facts import NOW, register
from tests.mailing import reachable
from tests.races.racing import at_once, until, waiting, without_row_locks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    alice = reachable(register("alice"))
    write_messages(messages=[Message("one", "welcome_revoked", alice.pk, facts={"revoked_amount": "5"})], now=NOW)
    return alice


@contextmanager
def slow_sending() -> Iterator[None]:
    """Whoever has a mail in hand sends it only when the other worker is after it too, or has gone without it."""
    lock, in_hand, gone = threading.Lock(), [0], [0]
    compose, deliver_one = delivery._composed, delivery._deliver_one

    def composed(*given: Any) -> Any:
        with lock:
            in_hand[0] += 1
        until(lambda: in_hand[0] + gone[0] + waiting() >= 2)
        return compose(*given)

    def one(*given: Any) -> Any:
        outcome = deliver_one(*given)
        with lock:
            gone[0] += 1
        return outcome

    with patch.object(delivery, "_composed", composed), patch.object(delivery, "_deliver_one", one):
        yield


def two_workers() -> list[Any]:
    with slow_sending():
        return at_once(lambda: deliver(now=NOW), lambda: deliver(now=NOW))


def test_two_workers_send_a_mail_once(alice: User) -> None:
    ends = two_workers()
    assert sorted(end.sent for end in ends) == [0, 1], ends
    assert len(mail.outbox) == 1


def test_control_without_the_lock_both_send_it(alice: User) -> None:
    with without_row_locks(OutboxMessage):
        ends = two_workers()
    assert [end.sent for end in ends] == [1, 1], ends
    assert len(mail.outbox) == 2


def test_two_workers_share_many(alice: User) -> None:
    facts = {"revoked_amount": "5"}
    write_messages(messages=[Message(f"m{n}", "welcome_revoked", alice.pk, facts=facts) for n in range(40)], now=NOW)
    ends = at_once(lambda: deliver(now=NOW), lambda: deliver(now=NOW))
    assert sum(end.sent for end in ends) == 41, ends
    ids = [letter.extra_headers["Message-ID"] for letter in mail.outbox]
    assert len(ids) == len(set(ids)) == 41
