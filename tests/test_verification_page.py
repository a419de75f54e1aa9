"""Verification in the console and at the staff's desk: every state, the form, its limit, and the one move."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import IdentityVerification, OutboxMessage, User
from accounts.operations import (
    Identity,
    Submission,
    decide_verification,
    move_eligibility,
    pass_verification,
    submit_verification,
)
from accounts.verification_queries import masked
from tests.facts import NOW, day, register
from tests.markup import faults
from tests.newcomers import identity
from tests.pages import read, words

pytestmark = pytest.mark.django_db(transaction=True)

PAGE, MOVE = "/console/verification/", "/console/verification/move/"
CANARY = "C01X00T478"
FORM = {
    "account_type": "individual",
    "legal_name": "Alice Liddell",
    "country": "DE",
    "document_kind": "passport",
    "number": CANARY,
}
COMPANY = {**FORM, "account_type": "enterprise", "legal_name": "Liddell Ltd", "document_kind": "company_register"}


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def console(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def desk() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss@example.com", account_id="boss", created_at=NOW))
    return client


def send(console: Client, **changed: str) -> Any:
    with time_machine.travel(NOW, tick=False):
        return console.post(PAGE, {**FORM, **changed}, follow=True)


def said(response: Any) -> str:
    page = response.content.decode()
    assert faults(page) == []
    return words(page)


def submit(user: User, number: str = CANARY, **told: Any) -> IdentityVerification:
    account_type = told.get("account_type", "individual")
    sent = Submission(account_type, "Alice Liddell", Identity("DE", "passport", number))
    return submit_verification(user_id=user.pk, submission=sent, now=NOW)


def decide(submitted: IdentityVerification, reason: str = "") -> None:
    decide_verification(verification_id=submitted.pk, passes=not reason, reason=reason, actor=None, now=NOW)


def act(desk: Client, submitted: IdentityVerification, action: str, **answer: str) -> str:
    form = {"action": action, "_selected_action": [submitted.pk], "carry_out": "yes", **answer}
    return words(desk.post("/admin/accounts/identityverification/", form, follow=True).content.decode())


# States


def test_to_do(alice: User) -> None:
    page = read(alice, PAGE)
    assert "Submit a document" in page
    assert "Passed" not in page


def test_in_review_there_is_nothing_to_do(alice: User, console: Client) -> None:
    page = said(send(console))
    assert "In review" in page
    assert "There is nothing for you to do" in page
    assert "Alice Liddell" in page
    assert "Passport, Germany" in page
    assert "478" in page
    assert CANARY not in page
    assert "Submit a document" not in page


def test_passed_leads_on(alice: User) -> None:
    decide(submit(alice))
    page = read(alice, PAGE)
    assert "Verified as an individual Passed" in page
    assert "This account is the one that refers friends." in page
    assert "Are you a company?" in page


def test_refused_says_why_and_takes_another(alice: User, console: Client) -> None:
    decide(submit(alice), reason="The name is not legible.")
    page = read(alice, PAGE)
    assert "Your document was not accepted The name is not legible." in page
    assert "Submit a document" in page
    assert "In review" in said(send(console, number="L02X999"))


def test_company_in_review_leaves_the_individual(alice: User, console: Client) -> None:
    decide(submit(alice))
    page = said(send(console, **COMPANY))
    assert "Verified as an individual Passed" in page
    assert "As an enterprise In review" in page
    assert "Are you a company?" not in page


def test_company_that_is_refused_may_try_again(alice: User, console: Client) -> None:
    decide(submit(alice))
    send(console, **COMPANY)
    decide(IdentityVerification.objects.get(), reason="No such company.")
    page = read(alice, PAGE)
    assert "Verified as an individual Passed" in page
    assert "No such company." in page
    assert "As an enterprise In review" in said(send(console, **COMPANY))


def test_company_that_has_passed_is_done(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("C1"), account_type="enterprise", now=NOW)
    page = read(alice, PAGE)
    assert "Verified as an enterprise Passed" in page
    assert "Are you a company?" not in page


# The form


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"number": ""}, "This field is required."),
        ({"number": "AB-1"}, "The number is too short"),
        ({"legal_name": ""}, "This field is required."),
        ({"country": "XX"}, "is not one of the available choices"),
        ({"document_kind": "library_card"}, "is not one of the available choices"),
        ({"document_kind": "tax_number"}, "This document does not fit"),
        ({"account_type": "enterprise"}, "This document does not fit"),
        ({"account_type": "state"}, "is not one of the available choices"),
    ],
)
def test_form_that_is_wrong_says_where(console: Client, changed: dict[str, str], complaint: str) -> None:
    response = send(console, **changed)
    assert response.status_code == 200
    assert complaint in said(response)
    assert not IdentityVerification.objects.exists()


def test_second_form_while_the_first_is_in_review_is_refused(console: Client) -> None:
    send(console)
    response = send(console, number="L02X999")
    assert response.status_code == 200
    assert IdentityVerification.objects.get().number_tail == "478"


def test_number_is_kept_nowhere(alice: User, console: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        page = send(console).content.decode() + read(alice, PAGE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT "{table}"::text FROM "{table}"')
            page += str(cursor.fetchall())
    assert CANARY not in page + caplog.text
    assert CANARY.lower() not in page + caplog.text


def test_demo_passes_at_once(alice: User, console: Client, settings: Settings) -> None:
    settings.DEMO = True
    assert "Verified as an individual Passed" in said(send(console))


# Limit


def test_sixth_submission_of_a_day_is_too_often(alice: User, console: Client) -> None:
    for number in range(5):
        send(console, number=f"L02X99{number}")
        decide(IdentityVerification.objects.get(), reason="Not legible.")
    assert send(console).status_code == 429
    assert "That was too often" in words(send(console).content.decode())
    assert IdentityVerification.objects.get().state == "refused"
    bob = Client()
    bob.force_login(register("bob"))
    assert "In review" in said(send(bob))


def test_twenty_first_submission_from_one_address_is_too_often_whoever_submits() -> None:
    def submitted_by(number: int, address: str) -> int:
        client = Client(REMOTE_ADDR=address)
        client.force_login(register(f"n{number}"))
        return int(send(client, number=f"L02X99{number}").status_code)

    assert [submitted_by(number, "203.0.113.1") for number in range(21)] == [200] * 20 + [429]
    assert submitted_by(21, "203.0.113.2") == 200


def test_form_with_a_slip_does_not_count(console: Client) -> None:
    for _ in range(6):
        assert send(console, number="").status_code == 200
    assert "In review" in said(send(console))


# The same person as another account


def same_person(alice: User, *, passes: bool = True) -> User:
    """An older account with the document; alice's is submitted after that."""
    older = register("ada", at=day(3, 7))
    decide(submit(older))
    submitted = submit(alice)
    if passes:
        decide(submitted)
    return older


def test_other_account_is_named_masked_with_its_month(alice: User) -> None:
    same_person(alice)
    page = read(alice, PAGE)
    assert "Another account of yours refers friends" in page
    assert "It is a•••@e•••.com, registered in March 2026" in page
    assert "ada@" not in page
    assert "This account is the one that refers friends." not in page


def test_only_who_has_passed_is_told(alice: User) -> None:
    same_person(alice, passes=False)
    assert "a•••@e•••.com" not in read(alice, PAGE)
    assert "a•••@e•••.com" not in read(register("mallory"), PAGE)


@pytest.mark.parametrize(
    ("email", "mask"),
    [("ada@example.com", "a•••@e•••.com"), ("x@y.co.uk", "x•••@y•••.uk"), ("ö@localhost", "ö•••@l•••.localhost")],
)
def test_mask_shows_first_letters_and_the_end(email: str, mask: str) -> None:
    assert masked(email) == mask


def test_person_moves_once_by_the_button(alice: User, console: Client) -> None:
    older = same_person(alice)
    assert "You may move this once." in read(alice, PAGE)
    assert "This account is now the one that refers friends." in said(console.post(MOVE, follow=True))
    assert alice.verification.is_eligible
    page = read(older, PAGE)
    assert "You have moved this once." in page
    assert "Refer friends with this account" not in page
    back = Client()
    back.force_login(older)
    assert "moved your referral link between your accounts before" in said(back.post(MOVE, follow=True))


def test_move_is_no_link(console: Client) -> None:
    assert console.get(MOVE).status_code == 405


def test_where_no_account_is_eligible_any_more_this_one_may_be(alice: User) -> None:
    older = same_person(alice)
    pass_verification(user_id=older.pk, identity=identity("C1"), account_type="enterprise", now=NOW)
    page = read(alice, PAGE)
    assert "No account of yours refers friends at the moment" in page
    move_eligibility(user_id=alice.pk, now=NOW)
    assert "This account is the one that refers friends." in read(alice, PAGE)


def test_page_runs_few_statements_in_every_state(alice: User, console: Client) -> None:
    same_person(alice)
    with CaptureQueriesContext(connection) as captured:
        assert console.get(PAGE).status_code == 200
    assert len(captured) <= 8


@pytest.mark.parametrize("address", [PAGE, MOVE])
def test_visitor_is_asked_to_sign_in(client: Client, address: str) -> None:
    assert client.post(address)["Location"].startswith("/accounts/login/")


# The staff's desk


def test_staff_see_what_was_submitted_and_let_it_pass(alice: User, desk: Client) -> None:
    submitted = submit(alice)
    listed = words(desk.get("/admin/accounts/identityverification/?in_review=yes").content.decode())
    for shown in ("alice", "Alice Liddell", "DE", "Passport", "478"):
        assert shown in listed
    assert "Done for" in act(desk, submitted, "let_pass")
    submitted.refresh_from_db()
    assert (submitted.state, submitted.decided_by) == ("passed", User.objects.get(account_id="boss"))
    assert "Nothing is waiting for a decision." in act(desk, submitted, "let_pass")
    waiting = desk.get("/admin/accounts/identityverification/?in_review=yes").context["cl"].result_count
    decided = desk.get("/admin/accounts/identityverification/?in_review=no").context["cl"].result_count
    assert (waiting, decided) == (0, 1)


def test_staff_refuse_with_a_reason(alice: User, desk: Client) -> None:
    submitted = submit(alice)
    assert "This field is required." in act(desk, submitted, "refuse")
    assert "Done for" in act(desk, submitted, "refuse", reason="The name is not legible.")
    submitted.refresh_from_db()
    assert (submitted.state, submitted.refusal_reason) == ("refused", "The name is not legible.")
    assert OutboxMessage.objects.get().facts["reason"] == "The name is not legible."


@pytest.mark.parametrize("action", ["let_pass", "refuse"])
def test_staff_who_may_only_look_decide_nothing(alice: User, client: Client, action: str) -> None:
    looker = User.objects.create_user("looker@example.com", is_staff=True, created_at=NOW)
    looker.user_permissions.add(Permission.objects.get(codename="view_identityverification"))
    client.force_login(looker)
    submitted = submit(alice)
    act(client, submitted, action, reason="No.")
    submitted.refresh_from_db()
    assert submitted.state == "in_review"


def test_submissions_are_counted_by_address_too_whoever_signs_in_there() -> None:
    """So that nobody tries numbers with account after account."""
    answers = []
    for number in range(21):
        browser = Client()
        browser.force_login(register(f"customer-{number}"))
        answers.append(send(browser, number=f"L02X99{number}").status_code)
    assert answers == [200] * 20 + [429]
