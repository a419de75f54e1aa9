"""From a referral link to a registered friend, as a visitor's browser goes."""

from decimal import Decimal

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from accounts import signals
from accounts.models import User
from credits.models import Coupon
from referrals.models import Referral
from tests.facts import register
from tests.newcomers import (
    CONFIRM,
    NOW,
    PASSWORD,
    SIGN_UP,
    confirm,
    fill_in,
    mailed_code,
    referrer,
    sign_up,
    sign_up_form,
)

pytestmark = pytest.mark.django_db(transaction=True)


def coupons_of(user: User) -> dict[str, Decimal]:
    return {coupon.source.split(":")[0]: coupon.amount.amount for coupon in Coupon.objects.filter(customer_id=user.pk)}


def test_friend_who_signs_up_through_a_link_is_referred_and_gets_welcome_credit_and_trial(client: Client) -> None:
    link = referrer("alice")
    with time_machine.travel(NOW, tick=False):
        page = client.get(f"/r/{link.code}/")
        assert link.code in page.content.decode()
        assert "$5" in page.content.decode()
        bob = sign_up(client, "bob@example.com")
        assert client.session["_auth_user_id"] == str(bob.pk)
    referral = Referral.objects.get(friend=bob)
    assert (referral.referrer, referral.registered_at) == (link.owner, NOW)
    assert bob.registered_at == bob.created_at == NOW
    assert (bob.country, bob.account_type) == ("DE", "individual")
    assert bob.signup_attribution == {"code": link.code, "typed": False}
    assert coupons_of(bob) == {"trial": Decimal(300), "welcome": Decimal(5)}


@pytest.mark.parametrize(
    ("said", "declared"), [("enterprise", "enterprise"), ("individual", "individual"), ("", "individual")]
)
def test_account_type_is_what_the_newcomer_says_and_brings_the_individual_amounts(
    client: Client, said: str, declared: str
) -> None:
    bob = sign_up(client, "bob@example.com", account_type=said)
    assert (bob.declared_type, bob.account_type) == (declared, "individual")
    assert coupons_of(bob) == {"trial": Decimal(300)}


def test_account_type_that_is_not_listed_keeps_the_form(client: Client) -> None:
    answer = fill_in(client, "bob@example.com", account_type="firm")
    assert "account_type" in answer.context["form"].errors
    assert not User.objects.exists()


def test_code_may_come_in_the_address_of_the_form(client: Client) -> None:
    link = referrer("alice")
    page = client.get(f"{SIGN_UP}?code={link.code}").content.decode()
    assert sign_up_form(page)["referral_code"] == link.code


def test_code_that_the_database_cannot_hold_brings_nobody(client: Client) -> None:
    page = client.get(f"{SIGN_UP}?code=%00").content.decode()
    assert sign_up_form(page)["referral_code"] == ""


def test_newcomer_without_a_link_gets_the_trial_only(client: Client) -> None:
    bob = sign_up(client, "bob@example.com")
    assert coupons_of(bob) == {"trial": Decimal(300)}
    assert not Referral.objects.exists()


def test_unconfirmed_sign_up_appears_to_no_referrer_and_gets_nothing(client: Client) -> None:
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    fill_in(client, "bob@example.com")
    bob = User.objects.get(email="bob@example.com")
    assert bob.registered_at is None
    assert not Referral.objects.exists()
    assert coupons_of(bob) == {}


def test_wrong_code_from_the_mail_registers_nobody(client: Client) -> None:
    fill_in(client, "bob@example.com")
    assert confirm(client, "ZZZZZZ").status_code == 200
    assert User.objects.get(email="bob@example.com").registered_at is None


def test_code_can_be_entered_again_after_a_confirmation_that_failed(client: Client) -> None:
    def fail(**signal: object) -> None:
        raise DatabaseError

    fill_in(client, "bob@example.com")
    code = mailed_code()
    signals.accounts_registered.connect(fail)
    try:
        with pytest.raises(DatabaseError):
            confirm(client, code)
    finally:
        signals.accounts_registered.disconnect(fail)
    assert User.objects.get(email="bob@example.com").registered_at is None
    assert not EmailAddress.objects.filter(verified=True).exists()
    confirm(client, code)
    bob = User.objects.get(email="bob@example.com")
    assert bob.registered_at is not None
    assert coupons_of(bob) == {"trial": Decimal(300)}


def test_code_entered_twice_registers_once(client: Client) -> None:
    bob = sign_up(client, "bob@example.com")
    confirm(client, mailed_code())
    bob.refresh_from_db()
    assert Coupon.objects.filter(customer_id=bob.pk).count() == 1


def test_newer_sign_up_with_the_same_address_wins_at_once() -> None:
    links = [referrer("alice"), referrer("ann")]
    older, newer = Client(), Client()
    with time_machine.travel(NOW, tick=False):
        older.get(f"/r/{links[0].code}/")
        fill_in(older, "bob@example.com", country="FR")
        older_code = mailed_code()
        newer.get(f"/r/{links[1].code}/")
        fill_in(newer, "Bob@Example.com", country="IT")
        assert User.objects.filter(email="bob@example.com").count() == 1
        refused = older.post(CONFIRM, {"code": older_code}, follow=True)
        assert refused.redirect_chain == [(SIGN_UP, 302)]
        assert "a newer one has taken its place" in refused.content.decode()
        assert "already registered" not in refused.content.decode()
        assert User.objects.get(email="bob@example.com").registered_at is None
        newer.post(CONFIRM, {"code": mailed_code()})
    bob = User.objects.get(email="bob@example.com")
    assert bob.country == "IT"
    assert bob.registered_at is not None
    assert Referral.objects.get().referrer == links[1].owner


def test_code_of_a_sign_up_that_is_gone_leads_back_to_the_form(client: Client) -> None:
    fill_in(client, "bob@example.com")
    User.objects.filter(email="bob@example.com").delete()
    assert confirm(client)["Location"] == SIGN_UP
    assert not User.objects.exists()
    assert sign_up(client, "bob@example.com").registered_at is not None


def test_sixth_sign_up_within_a_minute_asks_for_patience_and_keeps_the_fifth(client: Client) -> None:
    with time_machine.travel(NOW, tick=False):
        for _ in range(4):
            fill_in(Client(), "bob@example.com")
        fill_in(client, "bob@example.com")
        bob = User.objects.get()
        assert "Be patient" in fill_in(Client(), "bob@example.com").content.decode()
        assert User.objects.get() == bob
        confirm(client)
    bob.refresh_from_db()
    assert bob.registered_at == NOW


def test_corrected_address_from_the_same_browser_is_a_new_sign_up(client: Client) -> None:
    fill_in(client, "bbo@example.com")
    assert client.get(SIGN_UP)["Location"] == CONFIRM
    bob = sign_up(client, "bob@example.com", referral_code="")
    assert bob.registered_at is not None
    assert User.objects.get(email="bbo@example.com").registered_at is None


def test_existing_customer_signs_up_in_vain_and_is_told_by_mail_only(client: Client) -> None:
    link, carol = referrer("alice"), register("carol")
    client.get(f"/r/{link.code}/")
    response = fill_in(client, "carol@example.com")
    assert (response.status_code, response.url) == (302, CONFIRM)
    assert "There is an account with it already" in mail.outbox[-1].body
    assert User.objects.get(email="carol@example.com") == carol
    assert not Referral.objects.exists()


def test_own_address_through_the_own_link_changes_nothing(client: Client) -> None:
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    fill_in(client, "ALICE@example.com")
    assert User.objects.count() == 1
    assert not Referral.objects.exists()


def test_staff_address_is_not_for_taking(client: Client) -> None:
    staff = User.objects.create_superuser("staff@example.com", "secret", created_at=NOW)
    fill_in(client, "staff@example.com")
    assert User.objects.get() == staff


def test_imported_customer_who_confirms_the_address_stays_registered_as_before(client: Client) -> None:
    carol = register("carol")
    registered_at = carol.registered_at
    carol.set_password(PASSWORD)
    carol.save(update_fields=["password"])
    client.post("/accounts/login/", {"login": "carol@example.com", "password": PASSWORD})
    assert confirm(client).status_code == 302
    carol.refresh_from_db()
    assert carol.registered_at == registered_at
    assert client.session["_auth_user_id"] == str(carol.pk)


class CountingHasher(MD5PasswordHasher):
    """Counts the passwords that were hashed: that is what takes time."""

    hashed = 0

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.hashed += 1
        encoded: str = super().encode(password, salt)
        return encoded


@pytest.mark.parametrize("email", ["carol@example.com", "bob@example.com", "unconfirmed@example.com"])
def test_sign_up_takes_as_long_whether_or_not_the_address_is_known(
    client: Client, settings: Settings, email: str
) -> None:
    register("carol")
    fill_in(Client(), "unconfirmed@example.com")
    settings.PASSWORD_HASHERS = [f"{__name__}.{CountingHasher.__name__}"]
    CountingHasher.hashed = 0
    fill_in(client, email)
    assert CountingHasher.hashed == 1


@pytest.mark.parametrize("field", ["email", "password1", "country"])
def test_missing_field_keeps_the_form(client: Client, field: str) -> None:
    form = {"email": "bob@example.com", "password1": PASSWORD, "country": "DE", field: ""}
    response = client.post(SIGN_UP, form)
    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert not User.objects.exists()


def test_address_as_long_as_an_account_holds_is_taken_and_a_longer_one_is_not(client: Client) -> None:
    domain = ".".join(["d" * 60, "d" * 60, "d" * 60, "example"])
    fits = f"{'b' * (254 - len(domain) - 1)}@{domain}"
    assert "email" in fill_in(client, f"b{fits}").context["form"].errors
    assert fill_in(client, fits).status_code == 302
    assert User.objects.get().email == fits


def test_landing_tells_the_numbers_in_force(client: Client) -> None:
    page = client.get("/").content.decode()
    for figure in ("$300", "$1,200", "$5", "$10", "$20", "10%", "30 days", "90 days", "180 days"):
        assert figure in page
    assert "Get My Referral Link" in page


@pytest.mark.parametrize("path", ["/", "/r/nobody/", SIGN_UP, "/accounts/login/", "/accounts/password/reset/"])
def test_pages_have_no_inline_style_or_script(client: Client, path: str) -> None:
    page = client.get(path).content.decode()
    assert "style=" not in page
    assert "<style" not in page
    assert "<script>" not in page
    assert "onclick=" not in page
