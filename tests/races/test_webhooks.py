"""Workers that share the webhooks, steps that number them, jobs that write them: each lock and key with its control."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from pytest_django import Settings

from accounts.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookSecret
from accounts.operations import add_endpoint, deliver_webhooks, number_webhooks, rotate_secret
from accounts.operations.webhooks import delivery, endpoints, numbering
from credits.operations import NewCoupon, issue_coupons, remind_expiring
from referrals.operations import hooks, hooks_sql
from tests.facts import JANUARY, NOW, day, register
from tests.races.racing import (
    Meeting,
    at_once,
    key_of,
    meeting_before,
    names,
    replaced,
    without_constraint,
    without_row_locks,
)
from tests.receiving import ALL, Receiver, hook, receiving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    with receiving() as receiver:
        yield receiver


def happen(*keys: str, stream: str = "referral:7") -> None:
    WebhookEvent.objects.bulk_create(
        [
            WebhookEvent(key=key, type="reward.granted", stream=stream, payload={"name": key}, created_at=NOW)
            for key in keys
        ]
    )


@contextmanager
def meeting_within(place: Any, name: str) -> Iterator[None]:
    """Let two who have run this operation meet before either commits it, or one while the other waits for its lock."""
    operation, meeting = getattr(place, name), Meeting(2)

    @transaction.atomic
    def run(*args: Any, **options: Any) -> Any:
        outcome = operation(*args, **options)
        meeting.arrive()
        return outcome

    with patch.object(place, name, run):
        yield


# Two workers


def two_workers() -> list[Any]:
    with meeting_within(delivery, "_claim"):
        return at_once(lambda: deliver_webhooks(now=NOW), lambda: deliver_webhooks(now=NOW))


def test_two_workers_send_a_message_once(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    number_webhooks(now=NOW)
    ends = two_workers()
    assert sorted(end.delivered for end in ends) == [0, 1], ends
    assert len(receiver.letters) == 1


def test_control_without_the_lock_both_send_it(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    number_webhooks(now=NOW)
    with replaced(delivery, "CLAIM", "FOR UPDATE OF delivery SKIP LOCKED", ""):
        ends = two_workers()
    assert len(receiver.letters) == 2, ends
    assert len(set(receiver.ids)) == 1, "by which the receiver knows it again"


def test_two_workers_share_many_and_keep_their_order(receiver: Receiver) -> None:
    hook(receiver)
    for n in range(40):
        happen(f"{n}-1", f"{n}-2", stream=f"referral:{n}")
    ends = at_once(lambda: deliver_webhooks(now=NOW), lambda: deliver_webhooks(now=NOW))
    late = deliver_webhooks(now=NOW)
    assert sum(end.delivered for end in [*ends, late]) == 80, ends
    assert len(receiver.ids) == len(set(receiver.ids)) == 80
    for n in range(40):
        assert [one.sequence for one in receiver.letters if one.data["name"].startswith(f"{n}-")] == [1, 2]


# Two steps that number


def two_steps() -> list[Any]:
    with meeting_within(numbering, "_number_chunk"):
        return at_once(lambda: number_webhooks(now=NOW), lambda: number_webhooks(now=NOW))


def test_two_steps_number_each_event_once(receiver: Receiver) -> None:
    hook(receiver)
    happen("one", "two", "three")
    assert sorted(two_steps()) == [0, 3]
    assert list(WebhookEvent.objects.order_by("pk").values_list("sequence", flat=True)) == [1, 2, 3]
    assert WebhookDelivery.objects.count() == 3


def test_control_without_the_lock_the_key_alone_keeps_each_delivery_single(receiver: Receiver) -> None:
    hook(receiver)
    happen("one", "two", "three")
    with replaced(numbering, "ONE_AT_A_TIME", "SELECT pg_advisory_xact_lock(20260103, 0)", "SELECT 1"):
        assert names(two_steps()) == ["IntegrityError", "done"]
    assert WebhookDelivery.objects.count() == 3


def test_control_without_lock_and_key_each_event_is_sent_twice(receiver: Receiver) -> None:
    hook(receiver)
    happen("one", "two", "three")
    no_lock = replaced(numbering, "ONE_AT_A_TIME", "SELECT pg_advisory_xact_lock(20260103, 0)", "SELECT 1")
    with without_constraint("an_event_goes_to_an_endpoint_once"), no_lock:
        assert names(two_steps()) == ["done", "done"]
        assert WebhookDelivery.objects.count() == 6


# Transactions that commit in another order than they began


def commit_out_of_order() -> None:
    """The first event is written, and commits only when the second has committed and got its number."""
    is_written, may_commit = Event(), Event()

    @transaction.atomic
    def slow() -> None:
        happen("first")
        is_written.set()
        assert may_commit.wait(30)

    def fast() -> None:
        assert is_written.wait(30)
        happen("second")
        number_webhooks(now=NOW)
        may_commit.set()

    assert names(at_once(slow, fast)) == ["done", "done"]
    number_webhooks(now=NOW)


def sequences() -> dict[str, int | None]:
    return dict(WebhookEvent.objects.values_list("key", "sequence"))


def test_event_that_commits_late_has_the_next_number_and_none_is_missing(receiver: Receiver) -> None:
    hook(receiver)
    commit_out_of_order()
    assert sequences() == {"second": 1, "first": 2}
    deliver_webhooks(now=NOW)
    assert [(one.sequence, one.data["name"]) for one in receiver.letters] == [(1, "second"), (2, "first")]


def test_control_numbers_above_the_last_one_only_would_lose_it(receiver: Receiver) -> None:
    hook(receiver)
    above = "id > (SELECT coalesce(max(id), 0) FROM accounts_webhookevent WHERE sequence IS NOT NULL)"
    with replaced(numbering, "NUMBER", "sequence IS NULL", above):
        commit_out_of_order()
    assert sequences() == {"second": 1, "first": None}


# Two jobs that write the same


@pytest.fixture
def coupon() -> None:
    """One that expires in ten days."""
    add_endpoint(url="https://hooks.example.com/", events=ALL, actor=None, now=JANUARY)
    source, alice = "goodwill:1", register("alice")
    issue_coupons(
        coupons=[NewCoupon(alice.pk, "goodwill", None, source, Decimal(20), JANUARY, day(6, 11))], now=JANUARY
    )


def two_jobs() -> list[str]:
    with meeting_within(hooks, "_write"):
        return names(at_once(lambda: remind_expiring(now=day(6, 1)), lambda: remind_expiring(now=day(6, 1))))


@pytest.mark.usefixtures("coupon")
def test_two_jobs_write_an_event_once() -> None:
    assert two_jobs() == ["done", "done"]
    assert WebhookEvent.objects.filter(type="coupon.expiring").count() == 1


@pytest.mark.usefixtures("coupon")
def test_control_without_the_key_they_write_it_twice() -> None:
    no_conflict = replaced(hooks_sql, "COUPON_EXPIRING", "ON CONFLICT (key) DO NOTHING", "")
    with without_constraint(key_of("accounts_webhookevent", "key")), no_conflict:
        assert two_jobs() == ["done", "done"]
        assert WebhookEvent.objects.filter(type="coupon.expiring").count() == 2


# Two who look after an endpoint


def two_rotations(endpoint: WebhookEndpoint) -> list[str]:
    def rotate() -> str:
        return rotate_secret(endpoint_id=endpoint.pk, overlap=timedelta(days=1), now=NOW)

    with meeting_before(endpoints, "_new_secret", Meeting(2)):
        return names(at_once(rotate, rotate))


@pytest.fixture
def endpoint() -> WebhookEndpoint:
    return add_endpoint(url="https://hooks.example.com/", events=ALL, actor=None, now=JANUARY)[0]


def test_two_rotations_come_one_after_the_other(endpoint: WebhookEndpoint) -> None:
    assert two_rotations(endpoint) == ["done", "done"]
    assert WebhookSecret.objects.count() == 3
    assert WebhookSecret.objects.filter(ends_at=None).count() == 1


def test_control_without_the_lock_one_of_them_fails(endpoint: WebhookEndpoint) -> None:
    with without_row_locks(WebhookEndpoint):
        assert two_rotations(endpoint) == ["IntegrityError", "done"]


def test_address_that_two_add_at_once_is_added_once() -> None:
    def add() -> object:
        return add_endpoint(url="https://hooks.example.com/", events=ALL, actor=None, now=JANUARY)

    with meeting_within_creation():
        assert names(at_once(add, add)) == ["done", "known"]
    assert WebhookEndpoint.objects.count() == 1


def test_control_without_the_key_it_is_added_twice() -> None:
    def add() -> object:
        return add_endpoint(url="https://hooks.example.com/", events=ALL, actor=None, now=JANUARY)

    with without_constraint(key_of("accounts_webhookendpoint", "url")), meeting_within_creation():
        assert names(at_once(add, add)) == ["done", "done"]
        assert WebhookEndpoint.objects.count() == 2


def meeting_within_creation() -> Any:
    return meeting_before(endpoints, "_new_secret", Meeting(2))
