"""Referral links: who gets one, when it works, and what its page says (TERMS: Who may refer)."""

import math

import pytest
from django.test import Client

from accounts.models import User
from accounts.operations import add_payment_method, pass_verification, remove_payment_method
from referrals.models import ReferralLink
from referrals.operations import disqualify, give_link, reinstate, switch_link_off, switch_link_on
from referrals.operations.links import ALPHABET, CODE_LENGTH
from tests.facts import register
from tests.newcomers import NOW, identity, referrer

pytestmark = pytest.mark.django_db(transaction=True)


def link_of(user: User) -> ReferralLink | None:
    return ReferralLink.objects.filter(owner=user).first()


def verify(user: User, number: str = "P1") -> None:
    pass_verification(user_id=user.pk, identity=identity(number), account_type="individual", now=NOW)


def is_working(link: ReferralLink) -> bool:
    return ReferralLink.objects.working(at=NOW).filter(pk=link.pk).exists()


def test_link_appears_with_the_last_of_payment_method_and_verification() -> None:
    alice, ann = register("alice"), register("ann")
    add_payment_method(user_id=alice.pk, now=NOW)
    verify(ann, "P2")
    assert (link_of(alice), link_of(ann)) == (None, None)
    verify(alice)
    add_payment_method(user_id=ann.pk, now=NOW)
    assert link_of(alice)
    assert link_of(ann)


def test_second_account_of_a_person_gets_no_link() -> None:
    alice, again = register("alice"), register("alice2")
    for account in (alice, again):
        add_payment_method(user_id=account.pk, now=NOW)
        verify(account)
    assert link_of(alice)
    assert link_of(again) is None


def test_disqualified_account_gets_no_link() -> None:
    alice = register("alice")
    add_payment_method(user_id=alice.pk, now=NOW)
    disqualify(user_id=alice.pk, actor=None, reason="card theft", now=NOW)
    verify(alice)
    assert link_of(alice) is None


def test_link_that_a_disqualification_kept_back_comes_with_the_reinstatement() -> None:
    alice = register("alice")
    add_payment_method(user_id=alice.pk, now=NOW)
    disqualify(user_id=alice.pk, actor=None, reason="card theft", now=NOW)
    verify(alice)
    reinstate(user_id=alice.pk, actor=None, reason="not her", now=NOW)
    link = link_of(alice)
    assert link
    assert is_working(link)


def test_link_given_again_is_the_same() -> None:
    link = referrer("alice")
    assert give_link(user_id=link.owner_id, now=NOW) == link
    assert ReferralLink.objects.count() == 1


def test_code_is_beyond_guessing() -> None:
    codes = {referrer(name).code for name in ("alice", "ann", "abel")}
    assert len(codes) == 3
    assert all(len(code) == CODE_LENGTH and set(code) <= set(ALPHABET) for code in codes)
    assert CODE_LENGTH * math.log2(len(ALPHABET)) >= 60
    assert not set(ALPHABET) & set("0o1il")


def test_link_works_while_its_owner_may_refer() -> None:
    link = referrer("alice")
    assert is_working(link)
    remove_payment_method(user_id=link.owner_id)
    assert not is_working(link)
    add_payment_method(user_id=link.owner_id, now=NOW)
    assert is_working(link)
    switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    assert not is_working(link)
    switch_link_on(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    assert is_working(link)
    User.objects.filter(pk=link.owner_id).update(is_active=False)
    assert not is_working(link)


def test_link_of_a_disqualified_owner_does_not_work() -> None:
    link = referrer("alice")
    disqualify(user_id=link.owner_id, actor=None, reason="card theft", now=NOW)
    assert not is_working(link)


@pytest.mark.parametrize("switched_off", [True, False])
def test_link_that_is_off_or_unknown_promises_the_trial_and_no_credit(client: Client, switched_off: bool) -> None:
    code = "nobody"
    if switched_off:
        link = referrer("alice")
        switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
        code = link.code
    response = client.get(f"/r/{code}/")
    page = response.content.decode()
    assert response.status_code == 200
    assert "This link is not active" in page
    assert "$300" in page
    assert "$5" not in page
    assert response.context["form"]["referral_code"].value() == ""
    assert not response.cookies["referral"].value if switched_off else "referral" not in response.cookies


def test_customer_who_follows_a_link_has_an_account_already(client: Client) -> None:
    link, bob = referrer("alice"), register("bob")
    client.force_login(bob)
    response = client.get(f"/r/{link.code}/")
    assert "You already have an account" in response.content.decode()
    assert "referral" not in response.cookies


@pytest.mark.parametrize("slash", ["", "/"])
def test_own_link_leads_to_the_own_refer_page(client: Client, slash: str) -> None:
    link = referrer("alice")
    client.force_login(link.owner)
    response = client.get(f"/r/{link.code}{slash}")
    assert (response.status_code, response["Location"]) == (302, "/console/refer/")
