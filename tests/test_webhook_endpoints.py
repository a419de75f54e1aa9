"""Endpoints of webhooks: their addresses and secrets, what is sent to them again by hand, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from pytest_django import Settings

from accounts.models import WebhookAttempt, WebhookEndpoint, WebhookEvent, WebhookSecret
from accounts.operations import (
    UnableToHook,
    UnableToResend,
    add_endpoint,
    deliver_webhooks,
    empty_webhooks,
    number_webhooks,
    resend_webhook,
    rotate_secret,
    send_test,
    switch_endpoint_off,
    switch_endpoint_on,
)
from accounts.operations.webhooks import Told, delivery
from accounts.tasks import empty_webhooks as forget
from accounts.webhook_addresses import UnableToReach
from tests.facts import NOW
from tests.receiving import (
    ALL,
    Receiver,
    attempts_until_given_up,
    certificate_for,
    happen,
    hook,
    names,
    only,
    only_named,
    receiving,
)

pytestmark = pytest.mark.django_db(transaction=True)

THREE_DAYS = timedelta(days=3)


@pytest.fixture(autouse=True)
def _local(settings: Settings) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


# Secrets


def test_secret_is_kept_nowhere(receiver: Receiver) -> None:
    _, secret = hook(receiver)
    kept = WebhookSecret.objects.values().get()
    assert secret.removeprefix("whsec_")[:-5] not in str(kept)
    assert kept["tail"] in secret


def test_both_secrets_sign_until_the_old_one_ends(receiver: Receiver) -> None:
    endpoint, old = hook(receiver)
    new = rotate_secret(endpoint_id=endpoint.pk, overlap=timedelta(hours=24), now=NOW)
    for at, signed_by in (
        (NOW, (True, True)),
        (NOW + timedelta(hours=24) - timedelta(seconds=1), (True, True)),
        (NOW + timedelta(hours=24), (False, True)),
    ):
        happen(f"at {at}", at=at)
        deliver_webhooks(now=at)
        letter = receiver.letters[-1]
        assert (letter.is_signed_by(old), letter.is_signed_by(new)) == signed_by
    assert old != new


def test_secret_that_has_leaked_ends_at_once(receiver: Receiver) -> None:
    endpoint, old = hook(receiver)
    rotate_secret(endpoint_id=endpoint.pk, overlap=timedelta(), now=NOW)
    happen("one")
    deliver_webhooks(now=NOW)
    assert not receiver.letters[0].is_signed_by(old)


def test_rotations_within_each_others_time_sign_by_all(receiver: Receiver) -> None:
    endpoint, first = hook(receiver)
    day = timedelta(days=1)
    second, third = (rotate_secret(endpoint_id=endpoint.pk, overlap=day, now=NOW) for _ in range(2))
    happen("one")
    deliver_webhooks(now=NOW)
    assert [receiver.letters[0].is_signed_by(one) for one in (first, second, third)] == [True] * 3


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_old_secret_signs_for_a_week_at_most(receiver: Receiver, overlap: timedelta) -> None:
    endpoint, _ = hook(receiver)
    with pytest.raises(UnableToHook, match="7 days"):
        rotate_secret(endpoint_id=endpoint.pk, overlap=overlap, now=NOW)


def test_key_of_the_site_that_is_another_holds_messages_back(
    receiver: Receiver, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is sent what is signed by a secret that they do not know."""
    _, secret = hook(receiver)
    happen("one")
    before, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    assert deliver_webhooks(now=NOW) == Told(numbered=1)
    assert receiver.letters == []
    assert "SECRET_KEY" in caplog.text
    settings.SECRET_KEY_FALLBACKS = [before]
    deliver_webhooks(now=NOW + delivery.LEASE)
    assert receiver.letters[0].is_signed_by(secret)


# Endpoints


@pytest.mark.parametrize("events", [[], ["reward.given"], ["webhook.test"], [*ALL, "*"]])
def test_endpoint_wants_what_there_is(events: list[str]) -> None:
    with pytest.raises(UnableToHook) as refusal:
        add_endpoint(url="https://example.com/", events=events, actor=None, now=NOW)
    assert refusal.value.code == "events"


def test_address_has_one_endpoint() -> None:
    add_endpoint(url="https://example.com/", events=ALL, actor=None, now=NOW)
    with pytest.raises(UnableToHook) as refusal:
        add_endpoint(url="https://example.com/", events=["flag.opened"], actor=None, now=NOW)
    assert refusal.value.code == "known"


def test_without_the_setting_endpoints_are_public(settings: Settings) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = False
    for url in ("http://example.com/", "https://127.0.0.1/", "https://[::1]/"):
        with pytest.raises(UnableToReach):
            add_endpoint(url=url, events=ALL, actor=None, now=NOW)
    assert not WebhookEndpoint.objects.exists()


def test_without_the_setting_a_name_that_leads_here_gets_nothing(settings: Settings, tmp_path: Path) -> None:
    tls, settings.WEBHOOKS_CA_FILE = certificate_for("localhost", tmp_path)
    with receiving(tls, "localhost") as receiver:
        settings.WEBHOOKS_ALLOW_PRIVATE = False
        hook(receiver)
        happen("one")
        assert deliver_webhooks(now=NOW).failed == 1
        assert only().error == "address"
    assert receiver.letters == []


def test_endpoint_that_is_off_gets_nothing_and_then_what_has_waited(receiver: Receiver) -> None:
    endpoint, _ = hook(receiver)
    happen("before", stream="referral:1")
    number_webhooks(now=NOW)
    assert switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    assert not switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    happen("meanwhile", stream="referral:2")
    assert deliver_webhooks(now=NOW) == Told(numbered=1)
    assert switch_endpoint_on(endpoint_id=endpoint.pk)
    assert not switch_endpoint_on(endpoint_id=endpoint.pk)
    deliver_webhooks(now=NOW)
    assert names(receiver) == ["before"]


def test_test_event_goes_to_its_endpoint_alone(receiver: Receiver) -> None:
    endpoint, secret = hook(receiver, "flag.closed")
    with receiving() as other:
        hook(other)
        send_test(endpoint_id=endpoint.pk, now=NOW)
        deliver_webhooks(now=NOW)
        assert other.letters == []
    (letter,) = receiver.letters
    assert (letter.type, letter.is_signed_by(secret)) == ("webhook.test", True)


def test_test_event_is_for_an_endpoint_that_is_on(receiver: Receiver) -> None:
    endpoint, _ = hook(receiver)
    switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    for pk, code in ((endpoint.pk, "off"), (0, "unknown")):
        with pytest.raises(UnableToHook) as refusal:
            send_test(endpoint_id=pk, now=NOW)
        assert refusal.value.code == code


# Resending


def test_delivery_is_made_again_under_the_same_id(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    deliver_webhooks(now=NOW)
    resend_webhook(delivery_id=only().pk, now=NOW + timedelta(days=9))
    assert deliver_webhooks(now=NOW + timedelta(days=9)).delivered == 1
    assert names(receiver) == ["one", "one"]
    assert len(set(receiver.ids)) == 1


def test_what_was_given_up_is_tried_for_another_three_days(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    receiver.answer = lambda letter: 500
    attempts_until_given_up(receiver)
    again = NOW + timedelta(days=9)
    resend_webhook(delivery_id=only().pk, now=again)
    deliver_webhooks(now=again)
    assert (only().state, only().give_up_at) == ("pending", again + THREE_DAYS)


def test_what_is_sent_again_waits_for_nobody_and_nobody_for_it(receiver: Receiver) -> None:
    hook(receiver)
    happen("first", "second")
    deliver_webhooks(now=NOW)
    receiver.letters.clear()
    happen("third")
    receiver.answer = lambda letter: 200 if letter.data["name"] == "third" else 500
    for name in ("first", "second"):
        resend_webhook(delivery_id=only_named(name).pk, now=NOW)
    deliver_webhooks(now=NOW)
    assert sorted(names(receiver)) == ["first", "second", "third"]


def test_what_cannot_be_sent_again_says_why(receiver: Receiver) -> None:
    endpoint, _ = hook(receiver)
    happen("one")
    number_webhooks(now=NOW)

    def refused() -> str:
        with pytest.raises(UnableToResend) as refusal:
            resend_webhook(delivery_id=only().pk, now=NOW)
        return str(refusal.value.code)

    assert refused() == "pending"
    deliver_webhooks(now=NOW)
    switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    assert refused() == "off"
    switch_endpoint_on(endpoint_id=endpoint.pk)
    WebhookEvent.objects.update(payload={})
    assert refused() == "forgotten"
    with pytest.raises(UnableToResend):
        resend_webhook(delivery_id=0, now=NOW)


# What is kept


def test_what_was_said_is_forgotten_and_that_it_was_said_is_not(receiver: Receiver) -> None:
    hook(receiver)
    (event,) = happen("one")
    deliver_webhooks(now=NOW)
    assert empty_webhooks(before=NOW) == 0
    event.refresh_from_db()
    assert event.payload == {"name": "one"}
    assert empty_webhooks(before=NOW + timedelta(seconds=1)) == 1
    event.refresh_from_db()
    assert (event.payload, event.sequence) == ({}, 1)
    assert not WebhookAttempt.objects.exists()
    happen("two", at=NOW + timedelta(days=1))
    deliver_webhooks(now=NOW + timedelta(days=1))
    assert receiver.letters[-1].sequence == 2, "numbers go on"


def test_what_is_on_its_way_is_kept(receiver: Receiver) -> None:
    hook(receiver)
    receiver.answer = lambda letter: 500
    (event,) = happen("one")
    deliver_webhooks(now=NOW)
    assert empty_webhooks(before=NOW + timedelta(days=1)) == 0
    event.refresh_from_db()
    assert event.payload


def test_what_waits_for_an_endpoint_that_stays_off_is_forgotten_too(receiver: Receiver) -> None:
    endpoint, _ = hook(receiver)
    happen("one")
    number_webhooks(now=NOW)
    switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    assert empty_webhooks(before=NOW) == 0
    assert empty_webhooks(before=NOW + timedelta(seconds=1)) == 1


def test_job_forgets_after_the_days_of_the_setting(receiver: Receiver, settings: Settings) -> None:
    hook(receiver)
    happen("one")
    deliver_webhooks(now=NOW)
    kept = timedelta(days=settings.WEBHOOKS_KEPT_DAYS)
    with time_machine.travel(NOW + kept, tick=False):
        assert forget() == 0
    with time_machine.travel(NOW + kept + timedelta(seconds=1), tick=False):
        assert forget() == 1
