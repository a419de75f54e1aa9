"""Referral links: who gets one, when it works, and what its page says (TERMS: Who may refer)."""

import math
import time

import pytest
from django.test import Client

from accounts.models import User
from accounts.operations import add_payment_method, pass_verification, remove_payment_method
from referrals.models import ReferralLink
from referrals.operations import disqualify, give_link, reinstate, switch_link_off, switch_link_on
from referrals.operations.links import ALPHABET, CODE_LENGTH
from referrals.views.invitation import FRESH
from tests.facts import register
from tests.newcomers import NOW, PASSWORD, SIGN_UP, fill_in, identity, referrer, sign_up_form

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
    assert sign_up_form(page)["referral_code"] == ""
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


def test_inviter_is_a_friend_unless_they_made_a_first_name_public(client: Client) -> None:
    link = referrer("alice")
    assert "A friend invites you" in client.get(f"/r/{link.code}/").content.decode()
    ann = referrer("ann")
    User.objects.filter(pk=ann.owner_id).update(public_first_name="<Ann>")
    page = client.get(f"/r/{ann.code}/").content.decode()
    assert "&lt;Ann&gt; invites you" in page
    assert "A friend invites you" not in page


def test_page_says_what_the_referrer_will_see_before_the_form(client: Client) -> None:
    page = client.get(f"/r/{referrer('alice').code}/").content.decode()
    assert 0 < page.index("What the one who invited you will see") < page.index("<form")
    assert "Never your e-mail address, full name or card" in page


def test_link_switched_off_is_off_for_newcomers_within_seconds() -> None:
    link = referrer("alice")
    assert "A friend invites you" in Client().get(f"/r/{link.code}/").content.decode()
    switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    time.sleep(FRESH)
    assert "This link is not active" in Client().get(f"/r/{link.code}/").content.decode()


def test_sign_up_through_a_page_that_is_seconds_old_asks_the_database(client: Client) -> None:
    link = referrer("alice")
    form = sign_up_form(client.get(f"/r/{link.code}/").content.decode())
    switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    del form["email"]
    answer = fill_in(Client(), "bob@example.com", **form)
    assert "referral_code" in answer.context["form"].errors


def test_form_of_the_page_is_guarded_against_forgery() -> None:
    browser = Client(enforce_csrf_checks=True)
    form = sign_up_form(browser.get(f"/r/{referrer('alice').code}/").content.decode())
    fields = {**form, "email": "bob@example.com", "password1": PASSWORD, "country": "DE"}
    assert browser.post(SIGN_UP, {**fields, "csrfmiddlewaretoken": "0" * 32}).status_code == 403
    assert Client(enforce_csrf_checks=True).post(SIGN_UP, fields).status_code == 403
    assert browser.post(SIGN_UP, fields).status_code == 302


def test_secret_of_a_browser_stays_from_page_to_page() -> None:
    browser, link = Client(enforce_csrf_checks=True), referrer("alice")
    first = sign_up_form(browser.get(f"/r/{link.code}/").content.decode())
    again = sign_up_form(browser.get(f"/r/{link.code}/").content.decode())
    assert again["csrfmiddlewaretoken"] != first["csrfmiddlewaretoken"]
    fields = {"email": "bob@example.com", "password1": PASSWORD, "country": "DE"}
    assert browser.post(SIGN_UP, {**first, **fields}).status_code == 302
