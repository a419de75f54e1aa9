"""Payment methods and eligibility changed at once. Each lock and key has its control: without it, a race is lost."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from accounts.models import EligibilityMove, IdentityVerification, User
from accounts.operations import (
    Identity,
    Submission,
    add_payment_method,
    decide_verification,
    eligibility,
    pass_verification,
    submit_verification,
    verification,
)
from billing.gateways import Card, News
from billing.models import GatewayEvent, PaymentMethod, PaymentMethodQuerySet
from billing.operations import add_card, payment_methods, set_default_card
from billing.operations.payment_methods import record_news, remember_name, take_card_off
from tests.facts import NOW, register
from tests.newcomers import identity
from tests.races.racing import (
    Meeting,
    at_once,
    key_of,
    meeting_after,
    meeting_before,
    names,
    until,
    without_constraint,
    without_row_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    return register("alice")


def card(token: str) -> Card:
    return Card(token, "visa", "4242", 12, 2030, token)


def add(user: User, token: str) -> PaymentMethod:
    return add_card(customer_id=user.pk, gateway="sandbox", card=card(token), now=NOW)


# Two adds of one token: the page to which Stripe leads back, and its webhook


def add_twice(alice: User) -> list[str]:
    """They meet where each has seen that the token is not there yet, and is about to write it."""
    with meeting_before(PaymentMethodQuerySet, "create", Meeting(2)):
        return names(at_once(*[lambda: add(alice, "the same")] * 2))


def test_token_that_comes_twice_at_once_is_on_file_once(alice: User) -> None:
    assert add_twice(alice) == ["done", "done"]
    assert PaymentMethod.objects.get().is_default


def test_control_without_lock_and_key_it_is_there_twice(alice: User) -> None:
    keys = ["a_payment_method_is_on_file_once", "a_customer_has_one_default_payment_method"]
    with without_constraint(keys[0]), without_constraint(keys[1]), without_row_locks(User):
        add_twice(alice)
        assert PaymentMethod.objects.filter(token="the same").count() == 2


# Two first cards at once


def add_two_first_cards(alice: User) -> list[str]:
    with meeting_after(payment_methods, "_read_file", Meeting(2)):
        return names(at_once(lambda: add(alice, "a"), lambda: add(alice, "b")))


def test_of_two_first_cards_at_once_one_is_the_default(alice: User) -> None:
    assert add_two_first_cards(alice) == ["done", "done"]
    assert PaymentMethod.objects.filter(is_default=True).count() == 1


def test_control_without_the_lock_the_key_refuses_the_second_default(alice: User) -> None:
    with without_row_locks(User):
        assert add_two_first_cards(alice) == ["IntegrityError", "done"]


# Removal against a new default


def remove_what_becomes_the_default(alice: User) -> list[str]:
    """Remove the second card while it is made the default; return the defaults that are left."""
    add(alice, "a")
    second = add(alice, "b")
    with meeting_after(payment_methods, "_read_file", Meeting(2)):
        at_once(
            lambda: take_card_off(customer_id=alice.pk, method_id=second.pk, now=NOW),
            lambda: set_default_card(customer_id=alice.pk, method_id=second.pk, now=NOW),
        )
    return list(PaymentMethod.objects.filter(is_default=True).values_list("token", flat=True))


def test_card_that_is_removed_and_made_the_default_at_once_leaves_the_other_as_default(alice: User) -> None:
    assert remove_what_becomes_the_default(alice) == ["a"]


def test_control_without_the_lock_no_default_is_left(alice: User) -> None:
    """The new default is committed between what the removal has read and what it writes."""
    take_off = payment_methods._take_off

    def take_off_later(*read_before: Any) -> None:
        until(lambda: PaymentMethod.objects.filter(token="b", is_default=True).exists())
        take_off(*read_before)

    with without_row_locks(User), patch.object(payment_methods, "_take_off", take_off_later):
        assert remove_what_becomes_the_default(alice) == []


# What a gateway tells


def tell_twice(alice: User) -> list[object]:
    remember_name(customer_id=alice.pk, gateway="stripe", token="cus_1", now=NOW)
    news = News(customer="cus_1", card=card("pm_1"), is_new=True)
    told = {"gateway": "stripe", "event_id": "evt_1", "event_type": "setup_intent.succeeded", "news": news, "now": NOW}
    return at_once(*[lambda: record_news(**told)] * 2)  # type: ignore[arg-type]


def test_event_that_comes_twice_at_once_takes_effect_once(alice: User) -> None:
    assert sorted(map(bool, tell_twice(alice))) == [False, True]
    assert GatewayEvent.objects.count() == PaymentMethod.objects.count() == 1


def test_control_without_the_key_it_takes_effect_twice(alice: User) -> None:
    with without_constraint("a_gateways_event_takes_effect_once"):
        assert tell_twice(alice) == [True, True]


def name_twice(alice: User) -> list[object]:
    jobs = [
        lambda token=token: remember_name(customer_id=alice.pk, gateway="stripe", token=token, now=NOW)
        for token in ("cus_1", "cus_2")
    ]
    return at_once(*jobs)


def test_two_names_at_once_at_a_gateway_come_to_one(alice: User) -> None:
    assert len(set(name_twice(alice))) == 1


def test_control_without_the_key_there_are_two_names(alice: User) -> None:
    with without_constraint("a_gateway_knows_a_customer_by_one_name"):
        assert len(set(name_twice(alice))) == 2


# Two moves of eligibility


@pytest.fixture
def accounts() -> list[User]:
    """Three accounts of one person, of which the first is eligible."""
    accounts = [register(name) for name in ("alice", "alice2", "alice3")]
    for account in accounts:
        add_payment_method(user_id=account.pk, now=NOW)
        pass_verification(user_id=account.pk, identity=identity("P1"), account_type="individual", now=NOW)
    return accounts


def two_moves(accounts: list[User]) -> list[str]:
    """Let the other two take eligibility at once; return how the moves ended."""
    jobs = [
        lambda account=account: eligibility.move_eligibility(user_id=account.pk, now=NOW) for account in accounts[1:]
    ]
    with meeting_after(eligibility, "_read_person", Meeting(2)):
        return names(at_once(*jobs))


def eligible() -> int:
    return IdentityVerification.objects.filter(is_eligible=True).count()


def test_of_two_moves_at_once_one_is_made(accounts: list[User]) -> None:
    assert two_moves(accounts) == ["done", "moved"]
    assert (EligibilityMove.objects.count(), eligible()) == (1, 1)


def test_control_without_the_lock_the_key_still_lets_one_through(accounts: list[User]) -> None:
    with without_row_locks(User):
        assert two_moves(accounts) == ["done", "moved"]


def test_control_without_lock_and_keys_both_are_made(accounts: list[User]) -> None:
    """A person then has two moves, and two accounts that refer friends."""
    move, person = key_of("accounts_eligibilitymove", "identity_digest"), "one_account_of_a_person_is_eligible"
    with without_constraint(move), without_constraint(person), without_row_locks(User):
        assert two_moves(accounts) == ["done", "done"]
        assert EligibilityMove.objects.count() == 2


# Two decisions, and two submissions


def decide_twice(alice: User) -> list[str]:
    sent = Submission("individual", "Alice", Identity("DE", "passport", "C01X00T47"))
    submitted = submit_verification(user_id=alice.pk, submission=sent, now=NOW)

    def refuse() -> None:
        decide_verification(verification_id=submitted.pk, passes=False, reason="No.", actor=None, now=NOW)

    with meeting_after(verification, "_lock_submitted", Meeting(2)):
        return names(at_once(refuse, refuse))


def test_of_two_decisions_at_once_one_is_taken(alice: User) -> None:
    assert decide_twice(alice) == ["done", "nothing"]


def test_control_without_the_lock_both_are_taken(alice: User) -> None:
    with without_row_locks(User):
        assert decide_twice(alice) == ["done", "done"]


def submit_twice(alice: User) -> list[str]:
    jobs = [
        lambda number=number: submit_verification(
            user_id=alice.pk, submission=Submission("individual", "Alice", Identity("DE", "passport", number)), now=NOW
        )
        for number in ("C01X00T47", "L02X99999")
    ]
    with meeting_after(verification, "_lock_unless_passed", Meeting(2)):
        return names(at_once(*jobs))


def test_of_two_submissions_at_once_one_is_in_review(alice: User) -> None:
    assert submit_twice(alice) == ["done", "in_review"]


def test_control_without_the_lock_the_second_takes_the_place_of_the_first(alice: User) -> None:
    with without_row_locks(User):
        assert submit_twice(alice) == ["done", "done"]
