"""Accounts by the API: registered as facts, with what the billing system knows beside them, and changed later."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from djmoney.money import Money

from accounts.models import IdentityVerification, KnownIdentifier, User
from accounts.operations import change_address, deliver
from billing.gateways import Card
from billing.models import PaymentMethod
from billing.operations import UnableToChangePaymentMethod, add_card, remove_card, set_default_card
from billing.operations.payment_methods import take_card_off
from credits.models import Coupon
from referrals.models import Referral, ReferralLink
from referrals.operations import close_account, switch_link_off
from tests.facts import JANUARY, NOW, day, register
from tests.newcomers import identity
from tests.newcomers import referrer as new_referrer
from tests.test_api import assert_problem, new_key

pytestmark = pytest.mark.django_db

ACCOUNTS = "/api/v1/accounts"
PERSON = {"country": "de", "document_kind": "passport", "number": "C01X-00T47"}
CARD = {"on_file_since": "2026-01-05T09:00:00Z", "expires_at": None, "card_fingerprint": "fp-9c1e22"}


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def key() -> str:
    return new_key("accounts:write", "credit:read")


def send(client: Client, method: str, path: str, body: Any, key: str | None) -> HttpResponse:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.generic(method, path, content, content_type="application/json", headers=headers)  # type: ignore[return-value]


def bob(**more: Any) -> dict[str, Any]:
    return {
        "account_id": "bob",
        "email": "Bob@example.com",
        "account_type": "individual",
        "country": "DE",
        "registered_at": "2026-01-05T09:00:00Z",
        **more,
    }


def post(client: Client, key: str, **more: Any) -> HttpResponse:
    return send(client, "POST", ACCOUNTS, bob(**more), key)


def patch(client: Client, key: str, **change: Any) -> HttpResponse:
    return send(client, "PATCH", f"{ACCOUNTS}/bob", change, key)


def read(answer: HttpResponse) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(answer.content)
    return content


def coupons(name: str) -> dict[str, Money]:
    found = Coupon.objects.filter(customer__customer__account_id=name)
    return {coupon.source.split(":")[0]: coupon.amount for coupon in found}


# Registration


def test_account_is_registered_as_a_fact(client: Client, key: str) -> None:
    register("alice")
    answer = post(client, key, referred_by="alice")
    assert answer.status_code == 201
    assert read(answer) == {
        "account_id": "bob",
        "email": "bob@example.com",
        "account_type": "individual",
        "country": "DE",
        "registered_at": "2026-01-05T09:00:00+00:00",
        "referred_by": "alice",
        "verified": False,
        "payment_method": None,
    }
    friend = User.objects.get(account_id="bob")
    assert friend.registered_at == day(1, 5).replace(hour=9)
    assert Referral.objects.get(friend=friend).referrer.account_id == "alice"
    assert coupons("bob") == {"trial": Money(300, "USD"), "welcome": Money(5, "USD")}


def test_enterprise_is_one_from_the_start(client: Client, key: str) -> None:
    post(client, key, account_type="enterprise")
    assert coupons("bob") == {"trial": Money(1200, "USD")}


def test_the_same_again_answers_the_same_and_other_content_is_a_conflict(client: Client, key: str) -> None:
    new_referrer("alice", at=JANUARY)
    everything = {
        "referral_code": ReferralLink.objects.get().code,
        "verified": True,
        "identity": PERSON,
        "payment_method": CARD,
    }
    first = post(client, key, **everything)
    assert first.status_code == 201
    patch(client, key, email="robert@example.com", payment_method=None)
    again = post(client, key, **everything, registered_at="2026-01-05T10:00:00.000+01:00", email="bob@EXAMPLE.com")
    assert (again.status_code, read(again)) == (201, read(first))
    for other in (
        {"email": "b@example.com"},
        {"country": "FR"},
        {"account_type": "enterprise"},
        {"registered_at": "2026-01-05T09:00:01Z"},
        {"referral_code": ""},
        {"verified": False},
        {"identity": PERSON | {"number": "another"}},
        {"payment_method": None},
        {"payment_method": CARD | {"card_fingerprint": "another"}},
    ):
        assert_problem(post(client, key, **everything | other), 409, "conflict")
    assert User.objects.get(account_id="bob").email == "robert@example.com"


def test_account_that_a_file_brought_is_known(client: Client, key: str) -> None:
    from accounts.operations import AccountFact, import_accounts

    fact = AccountFact(2, "bob", "bob@example.com", "individual", "DE", "2026-01-05T09:00:00Z", "")
    import_accounts(facts=[fact], now=NOW)
    assert post(client, key).status_code == 201
    assert_problem(post(client, key, verified=True), 409, "conflict")
    post(client, key, account_id="cem", email="cem@example.com", verified=True)
    cem = AccountFact(2, "cem", "cem@example.com", "individual", "DE", "2026-01-05T09:00:00Z", "")
    assert import_accounts(facts=[cem], now=NOW).duplicate == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"account_id": ""}, "id"),
        ({"account_id": "x" * 101}, "id"),
        ({"account_id": "a\0b"}, "id"),
        ({"country": "D\nE"}, "id"),
        ({"account_type": "firm"}, "type"),
        ({"registered_at": "yesterday"}, "time"),
        ({"registered_at": "2026-01-05T09:00:00"}, "time"),
        ({"registered_at": "2026-11-01T00:05:01Z"}, "time"),
        ({"registered_at": "1969-12-31T23:59:59Z"}, "time"),
        ({"email": "bob"}, "email"),
        ({"email": "b\0b@example.com"}, "email"),
        ({"email": "alice@example.com"}, "email"),
        ({"referred_by": "nobody"}, "referrer"),
        ({"referred_by": "bob"}, "referrer"),
        ({"referred_by": "alice", "registered_at": "2025-12-31T23:59:59Z"}, "referrer"),
        ({"referral_code": "nobodys"}, "referrer"),
        ({"referral_code": "a\0b"}, "referrer"),
        ({"referral_code": "x" * 1000}, "referrer"),
        ({"payment_method": CARD | {"on_file_since": "2026-11-01T00:05:01Z"}}, "time"),
        ({"payment_method": CARD | {"on_file_since": "1969-12-31T23:59:59Z"}}, "time"),
        ({"payment_method": CARD | {"expires_at": "2026-01-05T09:00:00Z"}}, "time"),
        ({"payment_method": CARD | {"expires_at": "9999-12-31T23:59:59-12:00"}}, "time"),
        ({"verified": True, "identity": PERSON | {"number": "---"}}, "identity"),
        ({"identity": PERSON | {"number": "1234"}}, "number"),
    ],
)
def test_fact_that_is_refused_leaves_no_trace(client: Client, key: str, change: dict[str, Any], code: str) -> None:
    register("alice")
    assert_problem(post(client, key, **change), 422, code)
    assert User.objects.count() == 1
    assert not IdentityVerification.objects.exists()
    assert post(client, key).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 422, "invalid"),
        ("{", 400, "json"),
        (b"\xff", 400, "json"),
        ("[" * 100_000, 400, "json"),
        ('{"account_id":' * 900 + "1" + "}" * 900, 422, "invalid"),
        (json.dumps(bob(country=float("nan"))), 400, "json"),
        (json.dumps(bob(country="\ud800")), 400, "json"),
        (json.dumps(bob())[:-1] + ', "verified": 1e999}', 400, "json"),
        (bob(verified=10**30), 422, "invalid"),
        (bob(verified="true"), 422, "invalid"),
        (bob(verified=1), 422, "invalid"),
        (bob(verified=None), 422, "invalid"),
        (bob(account_id=7), 422, "invalid"),
        (bob(email=None), 422, "invalid"),
        (bob(email="x" * 1001), 422, "invalid"),
        (bob(card_number="4242"), 422, "invalid"),
        (bob(referred_by="alice", referral_code="code"), 422, "invalid"),
        (bob(identity={}), 422, "invalid"),
        (bob(identity=PERSON | {"country": "DEU"}), 422, "invalid"),
        (bob(identity=PERSON | {"document_kind": "badge"}), 422, "invalid"),
        (bob(identity=PERSON | {"number": "\0"}), 422, "invalid"),
        (bob(payment_method=[]), 422, "invalid"),
        (bob(payment_method={}), 422, "invalid"),
        (bob(payment_method=CARD | {"on_file_since": 5}), 422, "invalid"),
        (bob(payment_method=CARD | {"on_file_since": "2026-01-05"}), 422, "invalid"),
        (bob(payment_method=CARD | {"on_file_since": "2026-13-05T09:00:00Z"}), 422, "invalid"),
        (bob(payment_method=CARD | {"card_fingerprint": "a\0b"}), 422, "invalid"),
        (" " * (8 * 1024 * 1024 + 1), 413, "size"),
    ],
)
def test_body_that_cannot_be_used_changes_nothing(client: Client, key: str, body: Any, status: int, code: str) -> None:
    problem = assert_problem(send(client, "POST", ACCOUNTS, body, key), status, code)
    assert "4242" not in json.dumps(problem)
    assert not User.objects.exists()


def test_key_without_the_scope_registers_nobody(client: Client) -> None:
    assert_problem(post(client, new_key("spend:write")), 403, "scope")
    assert_problem(send(client, "POST", ACCOUNTS, bob(), None), 401, "key")
    assert_problem(send(client, "PATCH", f"{ACCOUNTS}/bob", {}, None), 401, "key")
    assert not User.objects.exists()


# Referral codes


def test_code_brings_its_owner_as_the_referrer(client: Client, key: str) -> None:
    new_referrer("alice", at=JANUARY)
    code = ReferralLink.objects.get().code
    assert read(post(client, key, referral_code=code.upper()))["referred_by"] == "alice"
    assert coupons("bob")["welcome"] == Money(5, "USD")


def test_code_whose_link_is_off_brings_the_trial_and_no_referrer(client: Client, key: str) -> None:
    link = new_referrer("alice", at=JANUARY)
    switch_link_off(user_id=link.owner_id, actor=None, reason="Looked at.", now=NOW)
    assert read(post(client, key, referral_code=link.code))["referred_by"] is None
    assert coupons("bob") == {"trial": Money(300, "USD")}


def test_code_of_who_registered_later_is_refused(client: Client, key: str) -> None:
    new_referrer("alice", at=JANUARY)
    code = ReferralLink.objects.get().code
    assert_problem(post(client, key, referral_code=code, registered_at="2025-12-31T23:59:59Z"), 422, "referrer")
    assert post(client, key, referral_code=code, registered_at="2026-01-01T00:00:00Z").status_code == 201


# Verification and payment method


def test_who_is_verified_with_a_payment_method_on_file_gets_a_link(client: Client, key: str) -> None:
    post(client, key, verified=True, identity=PERSON, payment_method=CARD)
    assert ReferralLink.objects.get().owner.account_id == "bob"
    kept = IdentityVerification.objects.get()
    assert (kept.state, kept.country, kept.document_kind, kept.number_tail) == ("passed", "DE", "passport", "T47")
    assert "C01X" not in str(IdentityVerification.objects.values()) + str(User.objects.values())
    assert set(KnownIdentifier.objects.values_list("kind", flat=True)) == {"identity", "card"}


@pytest.mark.parametrize("left_out", ["verified", "payment_method"])
def test_one_of_both_alone_brings_no_link(client: Client, key: str, left_out: str) -> None:
    everything: dict[str, Any] = {"verified": True, "identity": PERSON, "payment_method": CARD}
    del everything[left_out]
    post(client, key, **everything)
    assert not ReferralLink.objects.exists()
    late: dict[str, Any] = {"verified": True} if left_out == "verified" else {"payment_method": CARD}
    patch(client, key, **late)
    assert ReferralLink.objects.exists()


def test_of_two_accounts_of_a_person_the_first_is_eligible(client: Client, key: str) -> None:
    from accounts.operations import pass_verification

    alice = register("alice")
    pass_verification(user_id=alice.pk, identity=identity("C01X00T47"), account_type="individual", now=NOW)
    post(client, key, verified=True, identity=PERSON)
    assert [one.is_eligible for one in IdentityVerification.objects.order_by("pk")] == [True, False]


def test_verified_without_an_identity_counts_as_a_person_of_their_own(client: Client, key: str) -> None:
    post(client, key, verified=True)
    post(client, key, account_id="cem", email="cem@example.com", verified=True)
    assert IdentityVerification.objects.filter(is_eligible=True).count() == 2
    patch(client, key, identity=PERSON)
    assert IdentityVerification.objects.get(customer__account_id="bob").number_tail == "T47"


def test_identity_that_is_not_verified_waits_for_staff(client: Client, key: str) -> None:
    assert read(post(client, key, identity=PERSON))["verified"] is False
    kept = IdentityVerification.objects.get()
    assert (kept.state, kept.is_in_review, kept.number_tail) == ("in_review", True, "T47")
    assert read(patch(client, key, verified=True))["verified"] is True
    kept.refresh_from_db()
    assert (kept.state, kept.is_in_review, kept.number_tail) == ("passed", False, "T47")


def test_verification_can_be_withdrawn_and_given_again(client: Client, key: str) -> None:
    post(client, key, verified=True, identity=PERSON, payment_method=CARD)
    assert read(patch(client, key, verified=False))["verified"] is False
    assert not ReferralLink.objects.working(at=NOW).exists()
    assert read(patch(client, key, verified=True))["verified"] is True
    assert ReferralLink.objects.working(at=NOW).exists()


def test_payment_method_is_changed_and_taken_off(client: Client, key: str) -> None:
    post(client, key, payment_method=CARD)
    user = User.objects.get()
    assert user.payment_method_added_at == day(1, 5).replace(hour=9)
    answer = read(patch(client, key, payment_method=CARD | {"expires_at": "2026-12-01T00:00:00Z"}))
    assert answer["payment_method"]["expires_at"] == "2026-12-01T00:00:00+00:00"
    patch(client, key, payment_method=CARD | {"expires_at": "2026-12-01T00:00:00Z"})
    assert PaymentMethod.objects.count() == 2
    user.refresh_from_db()
    assert user.payment_method_expires_at == day(12, 1)
    assert read(patch(client, key, payment_method=None))["payment_method"] is None
    user.refresh_from_db()
    assert not user.has_payment_method(NOW)


@pytest.mark.parametrize("at", ["2026-01-06T08:59:00+23:59", "2026-01-04T17:00:00-16:00"])
def test_a_time_may_have_any_offset(client: Client, key: str, at: str) -> None:
    since = {"on_file_since": "2026-01-05T09:00:00+00:00", "expires_at": None, "card_fingerprint": None}
    assert read(post(client, key, payment_method={"on_file_since": at}))["payment_method"] == since
    ending = since | {"expires_at": at.replace("2026", "2027")}
    changed = read(patch(client, key, payment_method=ending))["payment_method"]
    assert changed == since | {"expires_at": "2027-01-05T09:00:00+00:00"}


def test_payment_method_that_is_told_of_stays_beside_a_card_of_the_console(client: Client, key: str) -> None:
    post(client, key, payment_method=CARD)
    user = User.objects.get()
    told = PaymentMethod.objects.get()
    for change in (set_default_card, remove_card):
        with pytest.raises(UnableToChangePaymentMethod):
            change(customer_id=user.pk, method_id=told.pk, now=NOW)
    card = Card("tok", "visa", "4242", 12, 2030, "fp")
    own = add_card(customer_id=user.pk, gateway="sandbox", card=card, now=NOW)
    assert own.is_default
    take_card_off(customer_id=user.pk, method_id=own.pk, now=NOW)
    told.refresh_from_db()
    assert (told.removed_at, told.is_default) == (None, False)
    user.refresh_from_db()
    assert user.has_payment_method(NOW)


# Changes


def test_empty_change_changes_nothing(client: Client, key: str) -> None:
    first = read(post(client, key, verified=True, payment_method=CARD))
    assert read(patch(client, key)) == first


@pytest.mark.django_db(transaction=True)
def test_former_address_is_told_of_the_new_one(client: Client, key: str) -> None:
    post(client, key)
    assert read(patch(client, key, email="Robert@example.com"))["email"] == "robert@example.com"
    deliver(now=NOW)
    assert [letter.to for letter in mail.outbox] == [["bob@example.com"]]
    patch(client, key, email="robert@example.com")
    deliver(now=NOW)
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("email", ["", "bob", "alice@example.com", f"{'x' * 250}@example.com"])
def test_address_that_cannot_be_is_refused_with_all_else(client: Client, key: str, email: str) -> None:
    register("alice")
    post(client, key)
    assert_problem(patch(client, key, email=email, verified=True, payment_method=CARD), 422, "email")
    assert not IdentityVerification.objects.exists()
    assert not PaymentMethod.objects.exists()


def test_individual_that_is_verified_as_an_enterprise_gets_the_difference_once(client: Client, key: str) -> None:
    register("alice")
    post(client, key, referred_by="alice", registered_at="2026-10-01T00:00:00Z")
    assert_problem(patch(client, key, account_type="enterprise"), 422, "type")
    for _ in range(2):
        answer = read(patch(client, key, account_type="enterprise", verified=True, identity=PERSON))
        assert (answer["account_type"], answer["verified"]) == ("enterprise", True)
    assert coupons("bob") == {
        "trial": Money(300, "USD"),
        "welcome": Money(5, "USD"),
        "trial-upgrade": Money(900, "USD"),
        "welcome-upgrade": Money(5, "USD"),
    }
    assert_problem(patch(client, key, account_type="individual"), 422, "type")
    assert_problem(patch(client, key, account_type="individual", verified=False), 422, "type")
    assert IdentityVerification.objects.get().has_passed


def test_verified_individual_becomes_an_enterprise(client: Client, key: str) -> None:
    post(client, key, verified=True, registered_at="2026-10-01T00:00:00Z")
    assert read(patch(client, key, account_type="enterprise"))["account_type"] == "enterprise"
    assert coupons("bob")["trial-upgrade"] == Money(900, "USD")
    assert read(patch(client, key, verified=False))["account_type"] == "enterprise"


def test_account_that_is_not_there_or_closed_is_not_changed(client: Client, key: str) -> None:
    assert_problem(patch(client, key, verified=True), 404, "account")
    post(client, key)
    close_account(user_id=User.objects.get().pk, now=NOW)
    assert_problem(patch(client, key, verified=True), 409, "closed")


@pytest.mark.parametrize(
    "account_id", ["customers/7", "a/credit/b", "a/credit", "credit", "/credit/credit", "/", "a//b", "?#%", "ä 7"]
)
def test_every_id_that_is_taken_has_its_address(client: Client, key: str, account_id: str) -> None:
    assert post(client, key, account_id=account_id).status_code == 201
    address = f"{ACCOUNTS}/{quote(account_id, safe='')}"
    assert read(send(client, "PATCH", address, {"verified": True}, key))["account_id"] == account_id
    assert read(send(client, "GET", f"{address}/credit", "", key))["trial"] == "300.00"


@pytest.mark.parametrize("account_id", ["a%00b", "%01", "x" * 101, "%C2%80"])
def test_address_of_no_possible_account_is_a_problem(client: Client, key: str, account_id: str) -> None:
    assert_problem(send(client, "PATCH", f"{ACCOUNTS}/{account_id}", {}, key), 422, "invalid")
    assert_problem(send(client, "GET", f"{ACCOUNTS}/{account_id}/credit", "", key), 422, "invalid")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 422, "invalid"),
        ("[]", 422, "invalid"),
        ("{", 400, "json"),
        ("[" * 100_000, 400, "json"),
        ('{"verified": NaN}', 400, "json"),
        ('{"email": "\\ud800"}', 400, "json"),
        ({"verified": None}, 422, "invalid"),
        ({"verified": 10**30}, 422, "invalid"),
        ({"email": None}, 422, "invalid"),
        ({"email": "b\0b@example.com"}, 422, "email"),
        ({"identity": None}, 422, "invalid"),
        ({"account_type": "firm"}, 422, "invalid"),
        ({"account_type": None}, 422, "invalid"),
        ({"referred_by": "alice"}, 422, "invalid"),
        ({"registered_at": "2026-01-05T09:00:00Z"}, 422, "invalid"),
        ({"payment_method": CARD | {"on_file_since": "2026-11-01T00:05:01Z"}}, 422, "time"),
        (" " * (8 * 1024 * 1024 + 1), 413, "size"),
    ],
)
def test_change_that_cannot_be_used_changes_nothing(
    client: Client, key: str, body: Any, status: int, code: str
) -> None:
    post(client, key)
    before = User.objects.values().get()
    assert_problem(send(client, "PATCH", f"{ACCOUNTS}/bob", body, key), status, code)
    assert User.objects.values().get() == before
    assert not IdentityVerification.objects.exists()


def test_referrer_is_for_good(client: Client, key: str) -> None:
    register("alice")
    post(client, key)
    assert_problem(post(client, key, referred_by="alice"), 409, "conflict")
    assert not Referral.objects.exists()


def test_a_former_address_brings_no_referral_by_a_code(client: Client, key: str) -> None:
    new_referrer("alice", at=JANUARY)
    change_address(user_id=register("carol").pk, email="c@example.com", now=NOW)
    code = ReferralLink.objects.get().code
    assert read(post(client, key, email="carol@example.com", referral_code=code))["referred_by"] is None


def test_registration_starts_where_its_referrers_does(client: Client, key: str) -> None:
    register("alice", at=JANUARY)
    assert post(client, key, referred_by="alice", registered_at="2026-01-01T00:00:00Z").status_code == 201
