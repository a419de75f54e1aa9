"""Payment methods on file: the default, what they come to on the account, and what that means for the link (TERMS: Who
may refer; When things change)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from accounts.models import KnownIdentifier, User
from accounts.operations import UnableToAddPaymentMethod, add_payment_method, card_digest, pass_verification, sign_up
from accounts.operations import register as confirm
from billing.gateways import Card, UnableToTakeCard
from billing.gateways.sandbox import SANDBOX_CARDS, slip_for
from billing.models import PaymentMethod, end_of_month
from billing.operations import (
    UnableToChangePaymentMethod,
    add_card,
    arrange_payment,
    clear_payment_methods,
    remove_card,
    save_card,
    set_default_card,
    start_card,
)
from billing.operations.payment_methods import MOST_METHODS
from referrals.models import Referral, ReferralLink
from referrals.operations import close_account
from tests.facts import NOW, day, register
from tests.newcomers import identity

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
VISA, MASTERCARD, SHARED, DECLINED, EXPIRED = (card.number for card in SANDBOX_CARDS[:5])


@pytest.fixture
def alice() -> User:
    return register("alice")


def card(token: str = "card-1", *, month: int = 12, year: int = 2030, fingerprint: str = "f") -> Card:
    return Card(token, "visa", "4242", month, year, fingerprint)


def add(user: User, token: str = "card-1", *, at: datetime = NOW, month: int = 12, year: int = 2030) -> PaymentMethod:
    return add_card(customer_id=user.pk, gateway="sandbox", card=card(token, month=month, year=year), now=at)


def enter(user: User, number: str, *, month: int = 12, year: int = 2030) -> PaymentMethod:
    return save_card(customer_id=user.pk, entry=slip_for(number, month=month, year=year), now=NOW)


def refused(refusal: pytest.ExceptionInfo[UnableToTakeCard | UnableToChangePaymentMethod]) -> str:
    return refusal.value.code


def on_file(user: User) -> list[tuple[str, bool]]:
    return [(method.token, method.is_default) for method in PaymentMethod.objects.on_file().filter(customer=user)]


def kept(user: User) -> tuple[datetime | None, datetime | None]:
    user.refresh_from_db()
    return user.payment_method_added_at, user.payment_method_expires_at


def works(at: datetime) -> bool:
    return ReferralLink.objects.working(at=at).exists()


# When a card ends


@pytest.mark.parametrize(
    ("year", "month", "end"), [(2026, 11, day(12, 1)), (2026, 12, datetime(2027, 1, 1, tzinfo=UTC))]
)
def test_card_is_usable_to_the_end_of_its_month(year: int, month: int, end: datetime) -> None:
    assert end_of_month(year, month) == end


@pytest.mark.parametrize(("at", "taken"), [(day(12, 1) - SECOND, True), (day(12, 1), False)])
def test_card_that_has_expired_is_not_taken(alice: User, at: datetime, taken: bool) -> None:
    if taken:
        assert add(alice, at=at, month=11, year=2026).expires_at == day(12, 1)
        return
    with pytest.raises(UnableToTakeCard) as refusal:
        add(alice, at=at, month=11, year=2026)
    assert refused(refusal) == "expired"


def test_link_is_off_from_the_instant_at_which_the_last_card_has_expired(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    add(alice, month=11, year=2026)
    assert works(day(12, 1) - SECOND)
    assert not works(day(12, 1))


def test_link_works_as_long_as_the_longest_card(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    add(alice, "short", month=11, year=2026)
    add(alice, "long", month=12, year=2026)
    assert works(day(12, 31) + timedelta(days=1) - SECOND)
    assert not works(datetime(2027, 1, 1, tzinfo=UTC))


def test_friends_stay_when_the_card_expires_and_later_ones_have_no_referrer(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    add(alice, month=11, year=2026)
    code = ReferralLink.objects.get().code
    for name, at in (("bob", day(12, 1) - SECOND), ("cem", day(12, 1))):
        friend = sign_up(
            email=f"{name}@example.com", password="correct-horse", country="DE", attribution={"code": code}, now=at
        )
        confirm(user_id=friend.pk, now=at)
    assert [referral.friend.email for referral in Referral.objects.all()] == ["bob@example.com"]


def test_card_added_after_the_last_has_expired_brings_a_link_that_was_missing(alice: User) -> None:
    add(alice, month=11, year=2026)
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=day(12, 1))
    assert not ReferralLink.objects.exists()
    add(alice, "card-2", at=day(12, 2))
    assert works(day(12, 2))


# The default, and what is kept on the account


def test_first_card_is_the_default_and_the_next_is_not(alice: User) -> None:
    add(alice, "a")
    add(alice, "b")
    assert on_file(alice) == [("a", True), ("b", False)]


def test_account_says_since_when_and_until_when_there_is_a_method(alice: User) -> None:
    add(alice, "a", month=3, year=2027)
    add(alice, "b", at=NOW + SECOND, month=2, year=2027)
    assert kept(alice) == (NOW, day(4, 1, 2027))
    remove_card(customer_id=alice.pk, method_id=PaymentMethod.objects.get(token="a").pk, now=NOW)
    assert kept(alice) == (NOW + SECOND, day(3, 1, 2027))


def test_default_moves(alice: User) -> None:
    add(alice, "a")
    chosen = add(alice, "b")
    assert set_default_card(customer_id=alice.pk, method_id=chosen.pk, now=NOW)
    assert not set_default_card(customer_id=alice.pk, method_id=chosen.pk, now=NOW)
    assert sorted(on_file(alice)) == [("a", False), ("b", True)]


def test_newest_card_takes_the_place_of_a_default_that_is_removed(alice: User) -> None:
    first = add(alice, "a")
    add(alice, "b", at=NOW + SECOND)
    add(alice, "c", at=NOW + 2 * SECOND)
    remove_card(customer_id=alice.pk, method_id=first.pk, now=NOW)
    assert sorted(on_file(alice)) == [("b", False), ("c", True)]


def test_link_is_off_without_a_card_and_on_again_with_the_next(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    method = add(alice)
    link = ReferralLink.objects.get()
    remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW)
    assert kept(alice) == (None, None)
    assert not works(NOW)
    add(alice, "card-2")
    assert ReferralLink.objects.working(at=NOW).get() == link


@pytest.mark.parametrize("of_whom", ["mallory", "nobody"])
def test_card_of_somebody_else_stays(alice: User, of_whom: str) -> None:
    mallory = register("mallory")
    number = add(alice).pk if of_whom == "mallory" else 0
    for change in (remove_card, set_default_card):
        with pytest.raises(UnableToChangePaymentMethod) as refusal:
            change(customer_id=mallory.pk, method_id=number, now=NOW)
        assert refused(refusal) == "unknown"
    assert PaymentMethod.objects.filter(removed_at__isnull=False).count() == 0


def test_removed_card_is_no_default_any_more(alice: User) -> None:
    add(alice, "a")
    gone = add(alice, "b")
    remove_card(customer_id=alice.pk, method_id=gone.pk, now=NOW)
    with pytest.raises(UnableToChangePaymentMethod):
        set_default_card(customer_id=alice.pk, method_id=gone.pk, now=NOW)


def test_token_comes_on_file_once(alice: User) -> None:
    assert add(alice) == add(alice, year=2031)
    assert PaymentMethod.objects.get().expiry_year == 2030


def test_token_of_another_account_is_foreign(alice: User) -> None:
    add(alice)
    with pytest.raises(UnableToTakeCard) as refusal:
        add(register("mallory"))
    assert refused(refusal) == "foreign"


def test_account_has_ten_methods_at_most(alice: User) -> None:
    for number in range(MOST_METHODS):
        add(alice, f"card-{number}")
    attempts: list[Callable[[], object]] = [
        lambda: add(alice, "one-more"),
        lambda: start_card(customer_id=alice.pk, back="b", cancelled="c", now=NOW),
    ]
    for one_more in attempts:
        with pytest.raises(UnableToTakeCard) as refusal:
            one_more()
        assert refused(refusal) == "many"
    assert add(alice, "card-0").token == "card-0"


@pytest.mark.parametrize("gone", ["unconfirmed", "closed"])
def test_account_that_is_not_there_gets_no_card(alice: User, gone: str) -> None:
    if gone == "closed":
        close_account(user_id=alice.pk, now=NOW)
        nobody = alice
    else:
        nobody = sign_up(email="new@example.com", password="correct-horse", country="DE", attribution={}, now=NOW)
    attempts: list[Callable[[], object]] = [lambda: add(nobody), lambda: enter(nobody, VISA)]
    for attempt in attempts:
        with pytest.raises(UnableToTakeCard) as refusal:
            attempt()
        assert refused(refusal) == "unregistered"


def test_card_stays_known_after_it_is_removed(alice: User) -> None:
    method = enter(alice, SHARED)
    remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW)
    enter(register("bob"), SHARED)
    digest = card_digest(gateway="sandbox", fingerprint=method.fingerprint)
    assert KnownIdentifier.objects.filter(kind="card", digest=digest).count() == 2
    assert method.fingerprint not in digest


# What staff arrange


def test_arrangement_by_staff_has_no_end_and_outlives_the_customers_cards(alice: User) -> None:
    assert arrange_payment(customer_id=alice.pk, now=NOW)
    assert not arrange_payment(customer_id=alice.pk, now=NOW + SECOND)
    method = add(alice)
    assert kept(alice) == (NOW, None)
    remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW)
    assert kept(alice) == (NOW, None)


def test_fact_that_came_without_a_row_outlives_the_customers_cards(alice: User) -> None:
    add_payment_method(user_id=alice.pk, now=NOW)
    method = add(alice, at=NOW + SECOND)
    assert not method.is_default
    remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW)
    assert kept(alice) == (NOW, None)


def test_fact_takes_the_place_of_a_card_that_has_expired(alice: User) -> None:
    add(alice, month=11, year=2026)
    assert not add_payment_method(user_id=alice.pk, now=day(12, 1) - SECOND)
    assert add_payment_method(user_id=alice.pk, now=day(12, 1))
    assert kept(alice) == (day(12, 1), None)


def test_customer_cannot_remove_what_staff_arranged(alice: User) -> None:
    arrange_payment(customer_id=alice.pk, now=NOW)
    with pytest.raises(UnableToChangePaymentMethod) as refusal:
        remove_card(customer_id=alice.pk, method_id=PaymentMethod.objects.get().pk, now=NOW)
    assert refused(refusal) == "arranged"


def test_staff_take_everything_off_file(alice: User) -> None:
    add(alice)
    arrange_payment(customer_id=alice.pk, now=NOW)
    assert clear_payment_methods(customer_id=alice.pk, now=NOW)
    assert not clear_payment_methods(customer_id=alice.pk, now=NOW)
    assert (on_file(alice), kept(alice)) == ([], (None, None))
    assert arrange_payment(customer_id=alice.pk, now=NOW)


def test_staff_arrange_nothing_with_an_unconfirmed_sign_up() -> None:
    bob = sign_up(email="bob@example.com", password="correct-horse", country="DE", attribution={}, now=NOW)
    with pytest.raises(UnableToAddPaymentMethod):
        arrange_payment(customer_id=bob.pk, now=NOW)


@pytest.mark.parametrize("known", [True, False])
def test_nothing_changes_for_an_account_that_has_not_registered(known: bool) -> None:
    bob = sign_up(email="bob@example.com", password="correct-horse", country="DE", attribution={}, now=NOW)
    nobody = bob.pk if known else 0
    assert not clear_payment_methods(customer_id=nobody, now=NOW)
    with pytest.raises(UnableToChangePaymentMethod):
        set_default_card(customer_id=nobody, method_id=1, now=NOW)


# The sandbox


@pytest.mark.parametrize(("number", "brand"), [(VISA, "visa"), (MASTERCARD, "mastercard"), (SHARED, "visa")])
def test_test_number_is_a_card(alice: User, number: str, brand: str) -> None:
    method = enter(alice, number, month=5, year=2028)
    assert (method.brand, method.last_four, method.expires_at) == (brand, number[-4:], day(6, 1, 2028))


@pytest.mark.parametrize(("number", "code"), [(DECLINED, "declined"), (EXPIRED, "expired")])
def test_test_number_is_refused_as_a_card_would_be(alice: User, number: str, code: str) -> None:
    with pytest.raises(UnableToTakeCard) as refusal:
        enter(alice, number)
    assert refused(refusal) == code
    assert not PaymentMethod.objects.exists()


@pytest.mark.parametrize("number", ["4111111111111111", "4242424242424241", "", "hello", VISA + "0"])
def test_other_numbers_are_refused_before_they_go_anywhere(number: str) -> None:
    with pytest.raises(UnableToTakeCard) as refusal:
        slip_for(number, month=12, year=2030)
    assert refused(refusal) == "not_a_test_card"
    assert number not in str(refusal.value) or not number


def test_number_is_taken_however_it_is_grouped(alice: User) -> None:
    assert enter(alice, "4242 4242-4242 4242").last_four == "4242"


def test_shared_number_is_one_card_and_the_others_are_everybodys_own(alice: User) -> None:
    bob = register("bob")
    assert enter(alice, SHARED).fingerprint == enter(bob, SHARED).fingerprint
    assert enter(alice, VISA).fingerprint == enter(alice, VISA).fingerprint
    assert enter(alice, VISA).fingerprint != enter(bob, VISA).fingerprint


@pytest.mark.parametrize("entry", ["", "nonsense", "eyJjYXJkIjowfQ:1:2"])
def test_entry_that_the_sandbox_did_not_make_brings_nothing(alice: User, entry: str) -> None:
    with pytest.raises(UnableToTakeCard) as refusal:
        save_card(customer_id=alice.pk, entry=entry, now=NOW)
    assert refused(refusal) == "foreign"


def test_slip_does_not_hold_the_number() -> None:
    payload = slip_for(VISA, month=12, year=2030).split(":")[0].lstrip(".")
    assert VISA not in base64.urlsafe_b64decode(payload + "==").decode(errors="replace")
    assert "4242" not in payload


def test_gateway_is_never_asked_inside_a_transaction(alice: User) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError):
        enter(alice, VISA)
