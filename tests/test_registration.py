"""Sign-ups that register, give way and are discarded."""

import threading
from datetime import datetime, timedelta

import pytest
from allauth.account.models import EmailAddress
from django.db import connection, transaction

from accounts.models import User
from accounts.operations import (
    UnableToSignUp,
    confirm_address,
    discard_unconfirmed,
    make_way,
    register,
    sign_up,
)
from credits.models import Coupon
from referrals.models import ProgrammeTerms
from referrals.tasks import discard_unconfirmed as discard_by_the_terms
from tests.facts import register as registered
from tests.newcomers import NOW

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


def begin(email: str = "bob@example.com", *, at: datetime = NOW, country: str = "DE") -> User:
    return sign_up(email=email, password="correct-horse", country=country, attribution={}, now=at)


def test_sign_up_waits_for_its_address() -> None:
    bob = begin("Bob@Example.com")
    assert (bob.email, bob.registered_at, bob.created_at) == ("bob@example.com", None, NOW)
    address = EmailAddress.objects.get(user=bob)
    assert (address.email, address.primary, address.verified) == ("bob@example.com", True, False)


def test_sign_up_registers_once() -> None:
    bob = begin()
    assert register(user_id=bob.pk, now=NOW + DAY)
    assert not register(user_id=bob.pk, now=NOW + 2 * DAY)
    bob.refresh_from_db()
    assert bob.registered_at == NOW + DAY
    assert Coupon.objects.get(customer_id=bob.pk).issued_at == NOW + DAY


def test_member_of_staff_does_not_register() -> None:
    staff = User.objects.create_superuser("staff@example.com", "secret", created_at=NOW)
    assert not register(user_id=staff.pk, now=NOW)


def test_older_sign_up_gives_way_with_all_that_is_its() -> None:
    older = begin()
    newer = begin("BOB@example.com", country="FR")
    assert list(User.objects.all()) == [newer]
    assert list(EmailAddress.objects.values_list("user_id", flat=True)) == [newer.pk]
    assert not confirm_address(user_id=older.pk, confirm=lambda: True)


def test_registered_account_gives_way_to_nobody() -> None:
    carol = registered("carol")
    with pytest.raises(UnableToSignUp):
        begin("Carol@example.com")
    assert make_way(emails=["carol@example.com"]) == 0
    assert User.objects.get() == carol


def test_confirmation_that_fails_leaves_nothing() -> None:
    bob = begin()

    def confirm() -> bool:
        EmailAddress.objects.update(verified=True)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        confirm_address(user_id=bob.pk, confirm=confirm)
    assert not EmailAddress.objects.filter(verified=True).exists()


def test_sign_up_is_discarded_after_seven_days() -> None:
    begin("young@example.com", at=NOW - 7 * DAY + timedelta(seconds=1))
    begin("old@example.com", at=NOW - 7 * DAY)
    carol = begin("carol@example.com", at=NOW - 30 * DAY)
    register(user_id=carol.pk, now=NOW)
    User.objects.create_superuser("staff@example.com", "secret", created_at=NOW - 30 * DAY)
    assert discard_unconfirmed(before=NOW - 7 * DAY) == 1
    assert set(User.objects.values_list("email", flat=True)) == {
        "young@example.com",
        "carol@example.com",
        "staff@example.com",
    }
    assert discard_unconfirmed(before=NOW - 7 * DAY) == 0


def test_job_discards_by_the_days_of_the_terms_in_force(time_machine: object) -> None:
    time_machine.move_to(NOW, tick=False)  # type: ignore[attr-defined]
    ProgrammeTerms.objects.create(starts_at=NOW, unconfirmed_days=2)
    begin("young@example.com", at=NOW - 2 * DAY + timedelta(seconds=1))
    begin("old@example.com", at=NOW - 2 * DAY)
    assert discard_by_the_terms() == 1
    assert User.objects.get().email == "young@example.com"


def test_sign_up_that_is_being_confirmed_is_not_discarded() -> None:
    bob = begin(at=NOW - 8 * DAY)
    confirming, discarded = threading.Event(), threading.Event()

    def confirm() -> bool:
        confirming.set()
        assert discarded.wait(10)
        return register(user_id=bob.pk, now=NOW)

    def in_another_session() -> None:
        confirm_address(user_id=bob.pk, confirm=confirm)
        connection.close()

    session = threading.Thread(target=in_another_session)
    session.start()
    assert confirming.wait(10)
    assert discard_unconfirmed(before=NOW) == 0
    discarded.set()
    session.join(10)
    bob.refresh_from_db()
    assert bob.registered_at == NOW


def test_two_sign_ups_at_once_with_one_address_leave_the_later() -> None:
    first: list[User] = []
    inserted, finish = threading.Event(), threading.Event()

    def in_another_session() -> None:
        with transaction.atomic():
            first.append(begin())
            inserted.set()
            # Long enough for the other to wait for this one's unique key.
            finish.wait(1)
        connection.close()

    session = threading.Thread(target=in_another_session)
    session.start()
    assert inserted.wait(10)
    second = begin(country="FR")
    session.join(10)
    assert User.objects.get() == second
    assert first[0].pk != second.pk
