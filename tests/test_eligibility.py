"""One account of a person refers friends: moved once by the person, later by staff (TERMS: Who may refer)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import EligibilityMove, IdentityVerification, User
from accounts.operations import (
    UnableToMoveEligibility,
    add_payment_method,
    move_eligibility,
    pass_verification,
)
from referrals.models import Decision, Referral, ReferralLink
from referrals.operations import UnableToDecide, close_account, disqualify, hand_eligibility, switch_link_off
from tests.facts import NOW, register
from tests.newcomers import identity
from tests.pages import read

pytestmark = pytest.mark.django_db(transaction=True)


def own(name: str, number: str = "P1", *, with_card: bool = True) -> User:
    """An account of the person whom the document names."""
    user = register(name)
    if with_card:
        add_payment_method(user_id=user.pk, now=NOW)
    pass_verification(user_id=user.pk, identity=identity(number), account_type="individual", now=NOW)
    return user


def move(user: User) -> None:
    move_eligibility(user_id=user.pk, now=NOW)


def code_of(attempt: Callable[[], None]) -> str:
    with pytest.raises((UnableToMoveEligibility, UnableToDecide)) as refusal:
        attempt()
    return str(getattr(refusal.value, "code", ""))


def eligible() -> list[str]:
    found = IdentityVerification.objects.filter(is_eligible=True)
    return sorted(found.values_list("customer__account_id", flat=True))


def working() -> list[str]:
    return sorted(ReferralLink.objects.working(at=NOW).values_list("owner__account_id", flat=True))


def test_move_gives_the_new_account_a_link_and_the_old_ones_works_no_more() -> None:
    old, new = own("alice"), own("alice2")
    bob = register("bob", referred_by=old)
    assert (eligible(), working()) == (["alice"], ["alice"])
    move(new)
    assert (eligible(), working()) == (["alice2"], ["alice2"])
    assert ReferralLink.objects.get(owner=old).code != ReferralLink.objects.get(owner=new).code
    assert Referral.objects.get(friend=bob).referrer == old
    moved = EligibilityMove.objects.get()
    assert (moved.from_account, moved.to_account, moved.moved_at) == (old, new, NOW)


def test_account_without_a_payment_method_gets_its_link_with_the_next() -> None:
    own("alice")
    new = own("alice2", with_card=False)
    move(new)
    assert working() == []
    add_payment_method(user_id=new.pk, now=NOW)
    assert working() == ["alice2"]


def test_person_moves_once_whichever_the_accounts() -> None:
    old, new, third = own("alice"), own("alice2"), own("alice3")
    move(new)
    assert code_of(lambda: move(old)) == "moved"
    assert code_of(lambda: move(third)) == "moved"
    assert eligible() == ["alice2"]


def test_another_person_has_a_move_of_their_own() -> None:
    own("alice")
    move(own("alice2"))
    own("carol", "P2")
    move(own("carol2", "P2"))
    assert eligible() == ["alice2", "carol2"]


def test_only_who_has_passed_moves_anything() -> None:
    own("alice")
    assert code_of(lambda: move(register("mallory"))) == "not_passed"


def test_eligible_account_has_nothing_to_move() -> None:
    alice = own("alice")
    assert code_of(lambda: move(alice)) == "eligible"
    assert not EligibilityMove.objects.exists()


@pytest.mark.parametrize("which", ["alice", "alice2"])
def test_nobody_moves_away_from_a_disqualification(which: str) -> None:
    own("alice")
    new = own("alice2")
    disqualify(user_id=User.objects.get(account_id=which).pk, actor=None, reason="Fraud.", now=NOW)
    assert code_of(lambda: move(new)) == "disqualified"
    assert eligible() == ["alice"]


def test_nobody_moves_away_from_a_link_that_staff_have_switched_off() -> None:
    old, new = own("alice"), own("alice2")
    switch_link_off(user_id=old.pk, actor=None, reason="Spam.", now=NOW)
    assert code_of(lambda: move(new)) == "link_off"
    assert (eligible(), working()) == (["alice"], [])
    assert not EligibilityMove.objects.exists()


def test_where_no_account_is_eligible_any_more_the_next_becomes_so_and_the_move_is_left() -> None:
    old, new = own("alice"), own("alice2")
    pass_verification(user_id=old.pk, identity=identity("C1"), account_type="enterprise", now=NOW)
    move(new)
    assert eligible() == ["alice", "alice2"]
    assert not EligibilityMove.objects.exists()


def test_staff_move_it_as_often_as_they_decide_each_with_a_reason() -> None:
    staff = User.objects.create_user("staff@example.com", is_staff=True, created_at=NOW)
    old, new = own("alice"), own("alice2")
    move(new)
    for user in (old, new, old):
        hand_eligibility(user_id=user.pk, actor=staff, reason="Asked by mail.", now=NOW)
    assert working() == ["alice"]
    decisions = Decision.objects.filter(action="move_eligibility").order_by("pk")
    assert [(decision.customer, decision.actor, decision.reason.text) for decision in decisions] == [
        (user, staff, "Asked by mail.") for user in (old, new, old)
    ]
    assert code_of(lambda: hand_eligibility(user_id=new.pk, actor=staff, reason=" ", now=NOW)) == "reason"
    assert code_of(lambda: hand_eligibility(user_id=old.pk, actor=staff, reason="Again.", now=NOW)) == "eligible"
    assert decisions.count() == 3


def test_staff_move_it_in_the_admin(client: Client) -> None:
    own("alice")
    new = own("alice2")
    client.force_login(User.objects.create_superuser("boss@example.com", created_at=NOW))
    form = {"action": "make_eligible", "_selected_action": [new.pk], "carry_out": "yes", "reason": "Asked by mail."}
    answer = client.post("/admin/accounts/user/", form, follow=True)
    assert "Done for alice2." in answer.content.decode()
    again = client.post("/admin/accounts/user/", form, follow=True)
    assert "Refused for alice2: The account is the eligible one already." in again.content.decode()
    assert eligible() == ["alice2"]


def test_who_closed_the_eligible_account_and_came_back_may_move_to_the_new_one() -> None:
    old, new = own("alice"), own("alice2")
    close_account(user_id=old.pk, now=NOW)
    page = read(new, "/console/verification/")
    assert "No account of yours refers friends at the moment: this one may." in page
    assert ".invalid" not in page
    move(new)
    assert (eligible(), working()) == (["alice2"], ["alice2"])


def test_nobody_gets_away_from_a_link_that_is_off_by_closing_its_account() -> None:
    old, new = own("alice"), own("alice2")
    switch_link_off(user_id=old.pk, actor=None, reason="spam", now=NOW)
    close_account(user_id=old.pk, now=NOW + timedelta(days=1))
    assert code_of(lambda: move(new)) == "link_off"
    assert working() == []
