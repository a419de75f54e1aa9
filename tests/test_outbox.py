"""Delivery of the outbox: nothing is lost while the mail server is down, nothing comes twice, and who wants no mail
gets none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import OutboxMessage, User
from accounts.operations import Delivered, Message, deliver, empty_outbox, write_messages
from accounts.tasks import deliver_outbox
from referral_site.celery import app
from tests.database import database_url
from tests.facts import JANUARY, NOW, register
from tests.mailing import Postbox, delivered, mail_server, reachable
from tests.newcomers import confirm, fill_in
from tests.running import free_port, manage, start

pytestmark = pytest.mark.django_db(transaction=True)

GIFT = {
    "is_upgrade": False,
    "welcome_amount": "5.00",
    "welcome_expires_at": NOW.isoformat(),
    "trial_amount": "0.00",
    "trial_expires_at": None,
}


@pytest.fixture
def alice() -> User:
    return reachable(register("alice"))


@pytest.fixture
def port(settings: Settings) -> int:
    """Where the site looks for its mail server."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    return int(settings.EMAIL_PORT)


def welcome(*customers: User, at: datetime = NOW, number: int = 1) -> list[str]:
    """Write so many mails to each; return their keys in order."""
    messages = [
        Message(f"welcome:{customer.pk}:{n}", "welcome_credit", customer.pk, facts=GIFT)
        for n in range(number)
        for customer in customers
    ]
    write_messages(messages=messages, now=at)
    return [one.key for one in messages]


def state(key: str) -> str:
    message = OutboxMessage.objects.get(key=key)
    if message.dropped_at:
        return "dropped"
    return "sent" if message.sent_at else f"due after {message.due_at - NOW}, tried {message.attempts}"


# Sending


def test_mail_is_sent_once_with_text_and_html(alice: User, port: int) -> None:
    (key,) = welcome(alice)
    with mail_server(Postbox(), port) as postbox:
        assert deliver(now=NOW) == Delivered(sent=1)
        assert deliver(now=NOW) == Delivered()
    (letter,) = postbox.letters
    assert letter["Subject"] == "Welcome: $5 of credit"
    assert [part.get_content_type() for part in letter.iter_parts()] == ["text/plain", "text/html"]
    assert (letter["Auto-Submitted"], letter["To"]) == ("auto-generated", "alice@example.com")
    assert state(key) == "sent"


def test_mail_is_due_no_sooner_than_it_says(alice: User) -> None:
    welcome(alice, at=NOW + timedelta(seconds=1))
    assert deliver(now=NOW) == Delivered()
    assert deliver(now=NOW + timedelta(seconds=1)) == Delivered(sent=1)


def test_the_same_key_is_written_once(alice: User) -> None:
    welcome(alice)
    welcome(alice)
    assert deliver(now=NOW) == Delivered(sent=1)


def test_more_than_one_chunk_goes_out_in_order(alice: User, port: int) -> None:
    keys = welcome(alice, number=120)
    with mail_server(Postbox(), port) as postbox:
        assert deliver(now=NOW) == Delivered(sent=120)
    assert len(set(postbox.ids)) == len(keys)


def test_task_sends_what_is_due(alice: User) -> None:
    welcome(alice, at=JANUARY)
    assert deliver_outbox() == "sent=1 dropped=0 failed=0"


@pytest.fixture
def worker() -> Iterator[None]:
    """Tasks run where they are sent."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def test_mail_goes_out_as_soon_as_it_is_committed_and_not_before(alice: User, worker: None) -> None:
    with transaction.atomic():
        (key,) = welcome(alice, at=JANUARY)
        assert state(key) != "sent"
    assert state(key) == "sent"


# A mail server that is down


def test_mail_server_that_is_down_loses_nothing_and_each_arrives_once(alice: User, port: int) -> None:
    keys = welcome(alice, number=3)
    assert deliver(now=NOW) == Delivered(failed=1), "the others would fail as well, and are not tried"
    assert [state(key) for key in keys] == ["due after 0:01:00, tried 1", *["due after 0:00:00, tried 0"] * 2]
    assert OutboxMessage.objects.get(key=keys[0]).error == "ConnectionRefusedError"
    with mail_server(Postbox(), port) as postbox:
        assert deliver(now=NOW) == Delivered(sent=2)
        assert deliver(now=NOW + timedelta(seconds=59)) == Delivered()
        assert deliver(now=NOW + timedelta(minutes=1)) == Delivered(sent=1)
        assert deliver(now=NOW + timedelta(days=1)) == Delivered()
    assert postbox.to == ["alice@example.com"] * 3
    assert len(set(postbox.ids)) == 3
    assert not OutboxMessage.objects.exclude(error="").exists()


def test_waits_grow_from_a_minute_to_six_hours(alice: User, port: int) -> None:
    (key,) = welcome(alice)
    waits = []
    for _ in range(12):
        due = OutboxMessage.objects.get(key=key).due_at
        deliver(now=due)
        waits.append(OutboxMessage.objects.get(key=key).due_at - due)
    assert waits[:4] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert waits[-2:] == [timedelta(hours=6)] * 2


def test_refused_recipient_holds_up_nobody_and_is_not_named(
    alice: User, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    bob = reachable(register("bob"))
    keys = welcome(alice, bob)
    postbox = Postbox()
    postbox.refused.add("alice@example.com")
    with mail_server(postbox, port), caplog.at_level(logging.WARNING):
        assert deliver(now=NOW) == Delivered(sent=1, failed=1)
    assert (postbox.to, state(keys[1])) == (["bob@example.com"], "sent")
    assert OutboxMessage.objects.get(key=keys[0]).error == "SMTPRecipientsRefused 550"
    assert "alice@example.com" not in caplog.text


def test_mail_that_cannot_be_worded_holds_up_nobody(alice: User) -> None:
    write_messages(messages=[Message("a", "no_such_kind", alice.pk), Message("b", "friend_joined", alice.pk)], now=NOW)
    write_messages(messages=[Message("c", "address_changed", recipient="x@example.com\nBcc: y@example.com")], now=NOW)
    (key,) = welcome(alice)
    assert deliver(now=NOW) == Delivered(sent=1, failed=3)
    assert state(key) == "sent"
    errors = OutboxMessage.objects.filter(sent_at=None).order_by("key").values_list("error", flat=True)
    assert list(errors) == ["UnableToCompose", "UnableToCompose", "BadHeaderError"]


def test_every_try_of_a_mail_has_one_message_id(alice: User, port: int) -> None:
    """What a process could not mark as sent before it was killed is known again by whoever gets it twice."""
    (key,) = welcome(alice)
    with mail_server(Postbox(), port) as postbox:
        deliver(now=NOW)
        OutboxMessage.objects.filter(key=key).update(sent_at=None)
        deliver(now=NOW)
    assert len(postbox.ids) == 2
    assert len(set(postbox.ids)) == 1


# A worker that is killed


class Killer(Postbox):
    """A mail server with which a process dies at its second mail."""

    process: Any = None

    async def handle_DATA(self, *given: Any) -> str:  # noqa: N802  # the server's word
        if len(self.letters) == 1:
            self.process.kill()
            return "451 gone"
        return await super().handle_DATA(*given)


def test_worker_killed_between_two_mails_leaves_the_second_for_the_next(alice: User, port: int) -> None:
    welcome(alice, number=3, at=JANUARY)
    killer = Killer()
    own = {"DATABASE_URL": database_url(), "EMAIL_URL": f"smtp://127.0.0.1:{port}"}
    with mail_server(killer, port):
        deliverer = "from accounts.tasks import deliver_outbox; deliver_outbox()"
        killer.process = start("shell", "-c", deliverer, **own)
        killer.process.communicate(timeout=60)
    assert killer.process.returncode == -9
    assert OutboxMessage.objects.filter(sent_at__isnull=False).count() == 1
    with mail_server(Postbox(), port) as postbox:
        assert deliver(now=NOW) == Delivered(sent=2)
    assert len({*killer.ids, *postbox.ids}) == 3
    assert set(killer.ids).isdisjoint(postbox.ids)


# Who gets mail


@contextmanager
def switched_off(user: User, switch: str) -> Iterator[None]:
    User.objects.filter(pk=user.pk).update(**{switch: False})
    yield
    User.objects.filter(pk=user.pk).update(**{switch: True})


@pytest.mark.parametrize(
    ("kind", "switch"),
    [
        ("friend_joined", "wants_friend_mail"),
        ("friend_qualified", "wants_friend_mail"),
        ("welcome_credit", "wants_credit_mail"),
        ("credit_arrived", "wants_credit_mail"),
        ("credit_expiring", "wants_expiry_mail"),
        ("verification_decided", "wants_account_mail"),
    ],
)
def test_each_switch_stops_its_mails_and_no_others(alice: User, kind: str, switch: str) -> None:
    write_messages(messages=[Message("one", kind, alice.pk)], now=NOW)
    with switched_off(alice, switch):
        assert deliver(now=NOW) == Delivered(dropped=1)
    assert state("one") == "dropped"
    assert deliver(now=NOW) == Delivered(), "it does not come later either"
    others = {"wants_friend_mail", "wants_credit_mail", "wants_expiry_mail", "wants_account_mail"} - {switch}
    User.objects.filter(pk=alice.pk).update(**dict.fromkeys(others, False))
    write_messages(messages=[Message("two", kind, alice.pk)], now=NOW)
    assert deliver(now=NOW).dropped == 0


@pytest.mark.parametrize("kind", ["welcome_revoked", "address_changed"])
def test_mails_about_money_lost_and_security_are_always_sent(alice: User, kind: str) -> None:
    switches = ("wants_friend_mail", "wants_credit_mail", "wants_expiry_mail", "wants_account_mail")
    User.objects.filter(pk=alice.pk).update(**dict.fromkeys(switches, False))
    write_messages(messages=[Message("one", kind, alice.pk, facts={"revoked_amount": "5.00"})], now=NOW)
    assert deliver(now=NOW) == Delivered(sent=1)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"closed_at": NOW, "is_active": False},
            marks=pytest.mark.untrue_rows("closed_account_has_nothing_left", "closed_account_is_shut"),
        ),
        {"is_active": False},
        {"signup_attribution": {"fact": {}}},
        {"email": "new-and-unconfirmed@example.com"},
    ],
)
def test_who_cannot_be_told_gets_nothing(alice: User, fields: dict[str, Any]) -> None:
    User.objects.filter(pk=alice.pk).update(**fields)
    (key,) = welcome(alice)
    assert deliver(now=NOW) == Delivered(dropped=1)
    assert state(key) == "dropped"


def test_imported_customer_gets_mail_once_they_have_signed_in(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(signup_attribution={"fact": {}}, last_login=NOW)
    welcome(alice)
    assert deliver(now=NOW) == Delivered(sent=1)


def test_unconfirmed_address_gets_nothing() -> None:
    welcome(register("bob"))
    assert deliver(now=NOW) == Delivered(dropped=1)


def test_mail_goes_to_the_address_as_it_is_when_it_is_sent(alice: User) -> None:
    welcome(alice)
    alice.email = "alice@example.org"
    alice.save(update_fields=["email"])
    EmailAddress.objects.filter(user=alice).update(email=alice.email)
    (letter,) = delivered(NOW)
    assert letter.to == ["alice@example.org"]


# Codes


def test_code_that_the_server_did_not_take_arrives_later(client: Client, port: int, settings: Settings) -> None:
    assert fill_in(client, "bob@example.com").status_code == 302, "the visitor is not held up"
    message = OutboxMessage.objects.get()
    assert (message.attempts, message.error) == (1, "ConnectionRefusedError")
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert deliver(now=message.due_at) == Delivered(sent=1)
    assert confirm(client).status_code == 302
    assert User.objects.get().registered_at is not None


def test_code_of_a_sign_up_that_gave_way_is_not_sent(client: Client, port: int, settings: Settings) -> None:
    fill_in(client, "bob@example.com")
    fill_in(Client(), "bob@example.com")
    assert OutboxMessage.objects.count() == 1


def test_code_goes_out_without_a_broker(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    fill_in(client, "bob@example.com")
    assert len(mail.outbox) == 1


def test_broker_that_is_down_does_not_stop_what_a_mail_tells_of(alice: User) -> None:
    written = (
        "from datetime import *; from accounts.operations import *;"
        f"write_messages(messages=[Message('one', 'welcome_revoked', {alice.pk})], now=datetime.now(UTC))"
    )
    done = manage("shell", "-c", written, DATABASE_URL=database_url(), REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0, done
    assert OutboxMessage.objects.filter(key="one").exists()


# What is kept


def test_what_mails_said_is_forgotten_and_that_they_were_written_is_not(alice: User) -> None:
    (key,) = welcome(alice)
    write_messages(messages=[Message("notice", "address_changed", None, recipient="x@example.com")], now=NOW)
    write_messages(messages=[Message("waits", "welcome_credit", alice.pk, facts=GIFT)], now=NOW + timedelta(days=90))
    deliver(now=NOW)
    assert empty_outbox(before=NOW) == 0
    assert empty_outbox(before=NOW + timedelta(seconds=1)) == 2
    assert not OutboxMessage.objects.filter(key="notice").exists()
    assert OutboxMessage.objects.get(key=key).facts == {}
    assert OutboxMessage.objects.get(key="waits").facts == GIFT
    welcome(alice)
    assert deliver(now=NOW + timedelta(days=1)) == Delivered()
    assert empty_outbox(before=NOW + timedelta(days=1)) == 0
