"""Delivery of webhooks to a real receiver: signed, once, in order, again and again for three days, and no longer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import time_machine
from django.db import connection
from pytest_django import Settings

from accounts import webhook_posting
from accounts.models import WebhookAttempt, WebhookDelivery
from accounts.operations import (
    add_endpoint,
    deliver_webhooks,
    number_webhooks,
)
from accounts.operations.webhooks import Told, delivery
from accounts.operations.webhooks.delivery import wait_after
from tests.database import database_url
from tests.facts import JANUARY, NOW
from tests.receiving import (
    ALL,
    Letter,
    Receiver,
    attempts_until_given_up,
    certificate_for,
    happen,
    hook,
    names,
    only,
    receiving,
    states,
)
from tests.running import start

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
THREE_DAYS = timedelta(days=3)


@pytest.fixture(autouse=True)
def _local(settings: Settings) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def after(seconds: float) -> int:
    """Answer, but not at once."""
    sleep(seconds)
    return 200


# A message


def test_message_is_what_standard_webhooks_asks_for(receiver: Receiver) -> None:
    _, secret = hook(receiver)
    (event,) = happen("one")
    assert deliver_webhooks(now=NOW) == Told(numbered=1, delivered=1)
    (letter,) = receiver.letters
    assert letter.is_signed_by(secret)
    assert letter.path == "/hooks"
    assert letter.headers["content-type"] == "application/json"
    assert letter.id == f"evt_{event.pk}"
    assert json.loads(letter.body) == {
        "type": "reward.granted",
        "timestamp": NOW.isoformat(),
        "sequence": 1,
        "data": {"name": "one"},
    }


def test_message_goes_over_tls(settings: Settings, tmp_path: Path) -> None:
    tls, settings.WEBHOOKS_CA_FILE = certificate_for("localhost", tmp_path)
    with receiving(tls, "localhost") as receiver:
        _, secret = hook(receiver)
        happen("one")
        assert deliver_webhooks(now=NOW).delivered == 1
    (letter,) = receiver.letters
    assert letter.is_signed_by(secret)


def test_control_a_message_that_was_changed_is_not_taken(receiver: Receiver) -> None:
    _, secret = hook(receiver)
    happen("one")
    deliver_webhooks(now=NOW)
    (letter,) = receiver.letters
    changed = Letter(letter.path, letter.headers, letter.body.replace("one", "two"))
    assert not changed.is_signed_by(secret)
    assert not letter.is_signed_by("whsec_" + "A" * 43 + "=")


def test_timestamp_is_the_real_instant_wherever_the_demos_clock_stands(receiver: Receiver) -> None:
    """The library takes nothing that is older or newer than five minutes."""
    _, secret = hook(receiver)
    happen("one")
    deliver_webhooks(now=datetime.now(UTC) + timedelta(days=30))
    assert receiver.letters[0].is_signed_by(secret)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=6)):
        assert not receiver.letters[0].is_signed_by(secret)


def test_message_is_sent_once(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    for hours in range(5):
        deliver_webhooks(now=NOW + timedelta(hours=hours))
    assert names(receiver) == ["one"]
    assert (only().state, only().sent_at, only().attempts) == ("delivered", NOW, 1)


def test_endpoint_gets_what_it_wants_and_no_more(receiver: Receiver) -> None:
    hook(receiver, "flag.opened")
    with receiving() as other:
        hook(other, "reward.granted", "flag.opened")
        happen("one")
        deliver_webhooks(now=NOW)
        assert names(other) == ["one"]
    assert receiver.letters == []


# In order


def test_events_of_a_referral_arrive_in_their_order(receiver: Receiver) -> None:
    hook(receiver)
    for n in range(10):
        happen(f"a{n}", stream="referral:1")
        happen(f"b{n}", stream="referral:2")
    receiver.answer = lambda letter: after(0.002 * (letter.sequence % 3))
    assert deliver_webhooks(now=NOW).delivered == 20
    for referral in "ab":
        assert [name for name in names(receiver) if name[0] == referral] == [f"{referral}{n}" for n in range(10)]


def test_next_event_of_a_referral_waits_for_the_one_before_and_others_do_not(receiver: Receiver) -> None:
    hook(receiver)
    happen("first", "second", stream="referral:1")
    happen("other", stream="referral:2")
    receiver.answer = lambda letter: 500 if letter.data["name"] == "first" else 200
    assert deliver_webhooks(now=NOW) == Told(numbered=3, delivered=1, failed=1)
    assert sorted(names(receiver)) == ["first", "other"]
    receiver.answer = lambda letter: 200
    deliver_webhooks(now=NOW + timedelta(hours=1))
    assert names(receiver)[2:] == ["first", "second"]


def test_one_endpoint_does_not_wait_for_another(receiver: Receiver) -> None:
    hook(receiver)
    with receiving() as broken:
        broken.answer = lambda letter: 500
        hook(broken)
        happen("first", "second")
        deliver_webhooks(now=NOW)
        assert names(broken) == ["first"]
    assert names(receiver) == ["first", "second"]


# Again, and no longer than three days


def test_message_is_tried_again_less_and_less_often_for_three_days(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    receiver.answer = lambda letter: 503
    tried = attempts_until_given_up(receiver)
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert all(MINUTE * 2**n * 0.8 <= wait <= MINUTE * 2**n * 1.2 for n, wait in enumerate(waits[:8]))
    assert all(timedelta(hours=4.8) <= wait <= timedelta(hours=7.2) for wait in waits[9:])
    assert THREE_DAYS - timedelta(hours=7.2) <= tried[-1] <= THREE_DAYS
    assert (only().state, only().last_status, only().attempts) == ("given_up", 503, len(tried))
    assert len(set(receiver.ids)) == 1, "each try has the id of the first"
    assert deliver_webhooks(now=NOW + timedelta(days=30)) == Told()
    assert WebhookAttempt.objects.filter(status=503).count() == len(tried)


def test_what_failed_together_does_not_come_back_together() -> None:
    waits = {wait_after(pk, 3) for pk in range(100)}
    assert len(waits) > 90
    assert min(waits) < MINUTE * 8 < max(waits)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_2xx_is_taken(receiver: Receiver, status: int) -> None:
    hook(receiver)
    happen("one")
    receiver.answer = lambda letter: status
    assert deliver_webhooks(now=NOW).delivered == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 409, 429, 500, 502, 599])
def test_every_other_answer_is_tried_again(receiver: Receiver, status: int) -> None:
    hook(receiver)
    happen("one")
    receiver.answer = lambda letter: (status, {"location": receiver.url})
    assert deliver_webhooks(now=NOW).failed == 1
    assert len(receiver.letters) == 1, "a redirect is not followed"
    assert only().due_at > NOW
    receiver.answer = lambda letter: 200
    assert deliver_webhooks(now=only().due_at).delivered == 1
    assert only().error == ""


def test_endpoint_may_ask_for_a_longer_wait(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    receiver.answer = lambda letter: (429, {"retry-after": "3600"})
    deliver_webhooks(now=NOW)
    assert only().due_at == NOW + timedelta(hours=1)
    WebhookDelivery.objects.update(due_at=NOW)
    receiver.answer = lambda letter: (429, {"retry-after": "999999"})
    deliver_webhooks(now=NOW)
    assert only().due_at == NOW + timedelta(hours=6), "but not for ever"


def test_waiting_event_is_tried_once_at_least_before_it_is_given_up(receiver: Receiver) -> None:
    """What had to wait for three days behind another of its referral has not had its turn yet."""
    hook(receiver)
    happen("first", "second")
    receiver.answer = lambda letter: 500
    deliver_webhooks(now=NOW)
    assert deliver_webhooks(now=NOW + timedelta(days=4)) == Told(given_up=2)
    assert names(receiver) == ["first", "first", "second"]


def test_endpoint_that_is_gone_is_switched_off(receiver: Receiver) -> None:
    endpoint, _ = hook(receiver)
    happen("one", stream="referral:1")
    deliver_webhooks(now=NOW)
    receiver.answer = lambda letter: 410
    happen("two", "three", stream="referral:1")
    assert deliver_webhooks(now=NOW).given_up == 1
    endpoint.refresh_from_db()
    assert (endpoint.switched_off_at, endpoint.off_reason) == (NOW, "gone")
    assert states() == ["delivered", "given_up", "pending"]
    deliver_webhooks(now=NOW + timedelta(days=1))
    assert len(receiver.letters) == 2


# Silence


def test_nobody_at_the_address_is_a_fault_like_any(receiver: Receiver) -> None:
    with receiving() as gone:
        hook(gone)
    happen("one")
    assert deliver_webhooks(now=NOW).failed == 1
    assert (only().last_status, only().error) == (None, "no connection")


@contextmanager
def silence(says: bytes = b"", every: float = 0.05) -> Iterator[str]:
    """A server that takes what it is sent and does not answer, or only drips."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    is_over = threading.Event()

    def hold(client: socket.socket) -> None:
        with client:
            while not is_over.wait(every):
                try:
                    client.sendall(says)
                except OSError:
                    return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=hold, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("says", [b"", b"H", b"HTTP/1.1 200 OK\r\nx: ", b"X"])
def test_endpoint_that_does_not_answer_in_time_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, says: bytes) -> None:
    """However it drips: no byte now and then keeps the connection open."""
    monkeypatch.setattr(webhook_posting, "ALL_SECONDS", 0.4)
    with silence(says) as url:
        add_endpoint(url=url, events=ALL, actor=None, now=NOW)
        happen("one")
        began = monotonic()
        deliver_webhooks(now=NOW)
        assert monotonic() - began < 3
    assert only().state == "pending"
    assert only().error in ("timeout", "no http")


def test_silent_endpoint_holds_up_no_other(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_posting, "ALL_SECONDS", 1.0)
    with silence() as url:
        add_endpoint(url=url, events=ALL, actor=None, now=NOW)
        hook(receiver)
        for n in range(30):
            happen("one", stream=f"referral:{n}")
        came: list[float] = []
        receiver.answer = lambda letter: came.append(monotonic()) or 200  # type: ignore[func-returns-value]
        began = monotonic()
        told = deliver_webhooks(now=NOW)
    assert told.delivered == 30
    assert max(came) - began < 1.0, "all were there before the first silence was over"
    assert told.failed <= 8, "after three silences it is left alone for this run"
    assert monotonic() - began < 4


def test_run_ends_after_its_seconds_and_the_next_goes_on(receiver: Receiver) -> None:
    hook(receiver)
    happen(*(f"n{n}" for n in range(20)))
    receiver.answer = lambda letter: after(0.05)
    assert 0 < deliver_webhooks(now=NOW, seconds=0.2).delivered < 20
    deliver_webhooks(now=NOW)
    assert names(receiver) == [f"n{n}" for n in range(20)]


def test_no_transaction_is_open_while_a_message_is_on_its_way(receiver: Receiver) -> None:
    hook(receiver)
    happen("one")
    open_ones: list[int] = []

    def look(letter: Letter) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND state LIKE 'idle in transaction%' "
            )
            open_ones.append(cursor.fetchone()[0])
        connection.close()
        return 200

    receiver.answer = look
    deliver_webhooks(now=NOW)
    assert open_ones == [0]


# A process that dies


def test_process_killed_between_sending_and_recording_sends_the_same_again(
    receiver: Receiver, settings: Settings
) -> None:
    hook(receiver)
    happen("one", at=JANUARY)
    killed: Any = None

    def kill(letter: Letter) -> int:
        killed.kill()
        return 200

    receiver.answer = kill
    deliverer = "from accounts.tasks import deliver_webhooks; deliver_webhooks()"
    own = {"DATABASE_URL": database_url(), "WEBHOOKS_ALLOW_PRIVATE": "1", "SECRET_KEY": str(settings.SECRET_KEY)}
    killed = start("shell", "-c", deliverer, **own)
    killed.communicate(timeout=60)
    assert (killed.returncode, only().state, only().attempts) == (-9, "pending", 0)
    real_now = datetime.now(UTC)
    receiver.answer = lambda letter: 200
    assert deliver_webhooks(now=real_now) == Told(), "it may be on its way still"
    assert deliver_webhooks(now=real_now + delivery.LEASE) == Told(delivered=1)
    first, second = receiver.letters
    assert (first.id, first.body) == (second.id, second.body)


def test_lease_that_was_lost_changes_nothing_more(receiver: Receiver) -> None:
    """Whoever comes back after its lease was over finds it with another."""
    endpoint, _ = hook(receiver)
    happen("one")
    number_webhooks(now=NOW)
    (late,) = delivery.claim_webhooks(endpoint_id=endpoint.pk, most=4, now=NOW)
    deliver_webhooks(now=NOW + delivery.LEASE)
    assert delivery.record_answer(claimed=late, answer=webhook_posting.Answer(500), now=NOW) == "delivered"
    assert (only().state, only().last_status) == ("delivered", 204)
    assert set(WebhookAttempt.objects.values_list("status", flat=True)) == {204, 500}
