"""The staff's desk: every table is looked at, decisions ask for their reason, and nothing else is written."""

import html
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.facts import Refusal, Tally
from accounts.models import ApiKey, RefusedFact, User, WebhookEndpoint
from accounts.operations import advance_run, start_run
from billing.models import SpendEvent
from credits.models import Coupon, CouponEntry, Debt, DebtEntry, RedemptionReturn
from referrals.models import BenefitCard, Decision, FraudFlag, ProgrammeTerms, Referral, ReferralLink
from tests.crowd import gather
from tests.facts import JANUARY, register
from tests.story import cause_everything

pytestmark = pytest.mark.django_db

OURS = ("accounts", "credits", "billing", "referrals")
MODELS: list[type[models.Model]] = [model for app in OURS for model in apps.get_app_config(app).get_models()]
by_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("boss@example.com", account_id="boss", created_at=JANUARY)


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def referral(alice: User) -> Referral:
    return Referral.objects.get(friend=register("bob", referred_by=alice))


def page(model: type[models.Model], name: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def act(desk: Client, row: models.Model, action: str, **answer: Any) -> Any:
    """Choose an action for a row; with an answer, answer the page that asks."""
    form = {"action": action, "_selected_action": [row.pk], **answer}
    if answer:
        form["carry_out"] = "yes"
    return desk.post(page(type(row), "changelist"), form, follow=True)


def words(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def statements(desk: Client, model: type[models.Model]) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert desk.get(page(model, "changelist")).status_code == 200
    return len(captured)


def test_every_model_has_its_pages() -> None:
    assert [model.__name__ for model in MODELS if not admin.site.is_registered(model)] == []


def test_lists_run_the_same_statements_for_10_and_200_rows(desk: Client) -> None:
    gather(range(10))
    few = {model.__name__: statements(desk, model) for model in MODELS for _ in range(2)}
    gather(range(10, 200))
    many = {model.__name__: statements(desk, model) for model in MODELS}
    assert many == few


def test_crowd_has_a_row_of_every_model() -> None:
    gather(range(1))
    assert [model.__name__ for model in MODELS if not model._default_manager.exists()] == ["ClockOffset"]


@pytest.fixture
def story() -> None:
    cause_everything()


@pytest.mark.usefixtures("story")
def test_every_row_of_a_true_story_opens(desk: Client) -> None:
    for model in MODELS:
        # The exchange rates are no part of the story, and 200,000.
        for row in model._default_manager.all()[:200]:
            answer = desk.get(page(model, "change", row.pk))
            assert answer.status_code == 200
            assert (b'name="_save"' in answer.content) == (model is BenefitCard)


@by_model
def test_rows_are_written_by_operations_only(desk: Client, model: type[models.Model]) -> None:
    gather(range(1))
    if model.__name__ == "ClockOffset":
        return
    row = model._default_manager.latest("pk")
    assert desk.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    if model not in (ProgrammeTerms, BenefitCard, ApiKey, WebhookEndpoint):
        assert desk.get(page(model, "add")).status_code == 403
    if model is not BenefitCard:
        assert desk.post(page(model, "change", row.pk), {}).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


SEARCHES = [
    ("accounts.User", "bob@example", 1),
    ("accounts.User", "bob", 1),
    ("accounts.User", "alices-link", 1),
    ("referrals.Referral", "bob", 1),
    ("referrals.Referral", "alice", 5),
    ("referrals.Referral", "alices-link", 5),
    ("referrals.ReferralLink", "alices-link", 1),
    ("referrals.ReferralLink", "Alices-LINK", 1),
    ("accounts.User", "ALICES-link", 1),
    ("billing.SpendEvent", "bob-12", 3),
    ("billing.WaitingReversal", "waits", 1),
    ("billing.WaitingReversal", "bob@example.com", 3),
    ("credits.Coupon", "gus", 1),
    ("credits.Redemption", "order", 1),
    ("referrals.Decision", "gus", 1),
]


@pytest.mark.usefixtures("story")
def test_search_finds_by_address_id_and_code(desk: Client) -> None:
    for name, sought, found in SEARCHES:
        answer = desk.get(page(apps.get_model(name), "changelist"), {"q": sought})
        assert (name, sought, answer.context["cl"].result_count) == (name, sought, found)


@pytest.mark.usefixtures("story")
def test_every_search_and_filter_runs(desk: Client) -> None:
    for model in MODELS:
        changelist = desk.get(page(model, "changelist"), {"q": "7"} if model.__name__ != "ClockOffset" else {})
        assert changelist.status_code == 200
        for choice in changelist.context["cl"].filter_specs:
            for option in choice.choices(changelist.context["cl"]):
                assert desk.get(page(model, "changelist") + option["query_string"]).status_code == 200


@pytest.mark.usefixtures("story")
def test_search_finds_a_row_by_its_number(desk: Client) -> None:
    for model in (Coupon, Debt, Referral):
        row = model._default_manager.latest("pk")
        answer = desk.get(page(model, "changelist"), {"q": str(row.pk)})
        assert row in answer.context["cl"].result_list


@pytest.mark.usefixtures("story")
def test_search_finds_what_belongs_to_a_customer_by_id_and_address(desk: Client) -> None:
    debt = DebtEntry.objects.select_related("debt__customer__customer", "debt__friend").latest("pk").debt
    coupon = Coupon.objects.filter(friend__isnull=False).select_related("customer__customer", "friend").latest("pk")
    spend = SpendEvent.objects.select_related("customer").latest("pk")
    referral = Referral.objects.filter(decisions__isnull=False).select_related("friend", "referrer").latest("pk")
    for model, people in (
        (DebtEntry, (debt.customer.customer, debt.friend)),
        (Debt, (debt.customer.customer, debt.friend)),
        (Coupon, (coupon.customer.customer, coupon.friend)),
        (CouponEntry, (coupon.customer.customer, coupon.friend)),
        (SpendEvent, (spend.customer,)),
        (Decision, (referral.friend, referral.referrer)),
    ):
        for person in people:
            assert person is not None
            by_id, by_address = (
                desk.get(page(model, "changelist"), {"q": sought}).context["cl"].result_count
                for sought in (person.account_id, person.email)
            )
            assert by_id == by_address > 0, (model, person)


def test_search_finds_a_refused_fact_by_the_ids_in_it(desk: Client) -> None:
    run = start_run(kind="spend", file_digest="f", now=JANUARY)
    facts = [{"event_id": f"e-{n}", "account_id": f"a-{n}", "payment_id": f"p-{n}"} for n in range(3)]
    facts += [{"redemption_id": f"r-{n}", "account_id": f"a-{n}"} for n in range(3)]
    refusals = [Refusal(n, "amount", "", fact) for n, fact in enumerate(facts)]
    advance_run(run=run, lines_done=6, tally=Tally(refused=6), refusals=refusals)
    for sought, found in (("e-1", 1), ("a-1", 2), ("p-2", 1), ("r-0", 1), ("amount", 6), ("e-", 0), ("f", 6)):
        answer = desk.get(page(RefusedFact, "changelist"), {"q": sought})
        assert (sought, answer.context["cl"].result_count) == (sought, found)


@pytest.mark.usefixtures("story")
def test_lists_say_whose_rows_these_are(desk: Client) -> None:
    for model, column in ((DebtEntry, "alice"), (RedemptionReturn, "alice"), (FraudFlag, "dan"), (Decision, "dan")):
        assert f">{column}</" in desk.get(page(model, "changelist")).content.decode(), model


# Who may come in


def test_staff_sign_in_where_everybody_does(client: Client) -> None:
    answer = client.get(reverse("admin:login"))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))


def test_customer_is_not_let_in(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(reverse("admin:login")).status_code == 403


def test_staff_without_the_permission_look_but_do_not_decide(client: Client, referral: Referral) -> None:
    clerk = User.objects.create_user("clerk@example.com", is_staff=True, created_at=JANUARY)
    clerk.user_permissions.add(Permission.objects.get(codename="view_referral"))
    client.force_login(clerk)
    assert b'value="refuse"' not in client.get(page(Referral, "changelist")).content
    act(client, referral, "refuse", reason="Because I can.")
    referral.refresh_from_db()
    assert referral.refused_at is None


# Decisions


@pytest.mark.parametrize("action", ["hold", "refuse"])
def test_decision_asks_for_its_reason_first(desk: Client, referral: Referral, action: str) -> None:
    for answer in (act(desk, referral, action), act(desk, referral, action, reason="  ")):
        assert answer.status_code == 200
        assert b'name="reason"' in answer.content
    assert not Decision.objects.exists()


def test_referral_is_held_and_released(desk: Client, staff: User, referral: Referral) -> None:
    act(desk, referral, "hold", reason="The same card.", rule="card", severity="hold")
    assert Referral.objects.get(held=True) == referral
    act(desk, FraudFlag.objects.get(), "release", reason="A family.")
    assert Referral.objects.get(held=False) == referral
    assert list(Decision.objects.order_by("pk").values_list("action", "actor", "reason__text")) == [
        ("hold", staff.pk, "The same card."),
        ("release", staff.pk, "A family."),
    ]


def test_referral_is_refused_and_the_refusal_lifted(desk: Client, referral: Referral) -> None:
    act(desk, referral, "refuse", reason="The same person.")
    referral.refresh_from_db()
    assert referral.refused_at is not None
    again = act(desk, referral, "refuse", reason="The same person.")
    assert b"That is so already." in again.content
    act(desk, referral, "lift_refusal", reason="It was a cousin.")
    referral.refresh_from_db()
    assert referral.refused_at is None


@pytest.mark.parametrize(
    ("choice", "refused"),
    [({"refuse": "unpaid"}, 2), ({"refuse": "none"}, 0), ({"refuse": "these", "friends": "bob"}, 1)],
)
def test_account_is_disqualified_and_reinstated(
    desk: Client, alice: User, referral: Referral, choice: dict[str, str], refused: int
) -> None:
    register("cem", referred_by=alice)
    act(desk, alice, "disqualify", reason="Card theft.", **choice)
    alice.refresh_from_db()
    assert alice.disqualified_at is not None
    assert Referral.objects.filter(refused_at__isnull=False).count() == refused
    act(desk, alice, "reinstate", reason="Somebody else.")
    alice.refresh_from_db()
    assert alice.disqualified_at is None


def test_flag_that_is_open_is_not_opened_again(desk: Client, referral: Referral) -> None:
    answer = {"reason": "The same card.", "rule": "card", "severity": "hold"}
    assert "Done for" in words(act(desk, referral, "hold", **answer))
    again = words(act(desk, referral, "hold", **answer))
    assert "That is so already." in again
    assert "Done for" not in again
    assert Decision.objects.count() == 1


def test_note_becomes_a_hold_once(desk: Client, referral: Referral) -> None:
    act(desk, referral, "hold", reason="Odd.", rule="card", severity="note")
    assert "Done for" in words(act(desk, referral, "hold", reason="The same card.", rule="card", severity="hold"))
    assert "That is so already." in words(act(desk, referral, "hold", reason="Odd.", rule="card", severity="note"))


def test_friends_that_nobody_referred_are_not_refused_with_an_account(desk: Client, alice: User) -> None:
    answer = act(desk, alice, "disqualify", reason="Fraud.", refuse="these", friends="alice")
    assert b"no friend that anybody referred" in answer.content
    alice.refresh_from_db()
    assert alice.disqualified_at is None


def test_link_is_switched_off_and_on(desk: Client, alice: User) -> None:
    link = ReferralLink.objects.create(owner=alice, code="alices-link", created_at=JANUARY)
    act(desk, link, "switch_off", reason="Spam.")
    link.refresh_from_db()
    assert link.switched_off_at is not None
    act(desk, link, "switch_on", reason="No spam.")
    link.refresh_from_db()
    assert link.switched_off_at is None


# Facts


def test_payment_method_and_verification_are_set_as_facts(desk: Client, alice: User) -> None:
    act(desk, alice, "put_payment_method_on_file", sure="yes")
    act(desk, alice, "record_passed", country="DE", document_kind="passport", number="C01", account_type="individual")
    alice.refresh_from_db()
    assert alice.payment_method_added_at is not None
    assert alice.verification.is_eligible
    assert ReferralLink.objects.filter(owner=alice).exists()
    act(desk, alice, "take_payment_method_off_file", sure="yes")
    alice.refresh_from_db()
    assert alice.payment_method_added_at is None


def test_fact_that_is_so_already_is_said_to_be(desk: Client, alice: User) -> None:
    for action, is_so in (
        ("take_payment_method_off_file", True),
        ("put_payment_method_on_file", False),
        ("put_payment_method_on_file", True),
        ("take_payment_method_off_file", False),
        ("record_not_passed", False),
        ("record_not_passed", True),
    ):
        said = words(act(desk, alice, action, sure="yes"))
        assert ("Nothing to change for alice: that is so already." in said) == is_so
        assert ("Done for alice." in said) != is_so


def test_message_has_the_code_of_a_link_as_it_is_written(desk: Client, alice: User) -> None:
    link = ReferralLink.objects.create(owner=alice, code="pw7c5yb8c5my8", created_at=JANUARY)
    assert "Done for pw7c5yb8c5my8." in words(act(desk, link, "switch_off", reason="Spam."))
    assert "Refused for pw7c5yb8c5my8: That is so already." in words(act(desk, link, "switch_off", reason="Spam."))


@pytest.mark.parametrize(("many", "done"), [(100, True), (101, False)])
def test_action_takes_a_hundred_rows_and_refuses_more(desk: Client, many: int, done: bool) -> None:
    gather(range(many))
    form = {"action": "put_payment_method_on_file", "select_across": "1", "_selected_action": [], "carry_out": "yes"}
    chosen = User.objects.filter(account_id__startswith="referrer-")
    form["_selected_action"] = [str(pk) for pk in chosen.values_list("pk", flat=True)]
    answer = desk.post(f"{page(User, 'changelist')}?q=referrer-&is_staff__exact=0", form, follow=True)
    found = answer.context["cl"].result_count
    assert ("at most 100 at once" in words(answer)) == (found > 100), found
    form["select_across"] = "0"
    assert ("at most 100 at once" in words(desk.post(page(User, "changelist"), form, follow=True))) != done
    assert chosen.filter(payment_method_added_at__isnull=False).exists() == done


def test_number_of_a_document_is_kept_nowhere(desk: Client, alice: User) -> None:
    act(
        desk,
        alice,
        "record_passed",
        country="DE",
        document_kind="passport",
        number="C01X00T47",
        account_type="individual",
    )
    assert "C01X00T47" not in alice.verification.identity_digest
    assert "C01X00T47" not in desk.get(page(User, "change", alice.pk)).content.decode()


def test_verification_that_has_not_passed(desk: Client, alice: User) -> None:
    act(desk, alice, "record_not_passed", sure="yes")
    assert alice.verification.state == "refused"


# Terms


def terms_form(starts_at: Any, **changed: Any) -> dict[str, Any]:
    numbers = {
        field.name: getattr(ProgrammeTerms(), field.name)
        for field in ProgrammeTerms._meta.fields
        if field.name not in ("id", "starts_at")
    }
    start = {"starts_at_0": starts_at.strftime("%Y-%m-%d"), "starts_at_1": starts_at.strftime("%H:%M:%S")}
    return {**numbers, **start, **changed}


def test_terms_are_set_for_the_future_and_changed_until_they_start(desk: Client) -> None:
    start = timezone.now() + timedelta(days=1)
    desk.post(page(ProgrammeTerms, "add"), terms_form(start, payout=25))
    terms = ProgrammeTerms.objects.latest("pk")
    assert terms.payout == 25
    desk.post(page(ProgrammeTerms, "change", terms.pk), terms_form(start, payout=30))
    terms.refresh_from_db()
    assert terms.payout == 30


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bonus_rate": "1.00001"}, "The bonus rate is at most 1"),
        ({"qualifying_threshold": 0}, "The qualifying threshold is above 0."),
        ({"cap_per_friend": 19}, "The cap per friend is no less than the payout."),
        ({"payout": -1}, "No amount is below 0"),
        ({"welcome_enterprise": 4}, "an enterprise gets no less than an individual."),
        ({"credit_valid_days": 0}, "Credit and trial are valid for at least a day."),
    ],
)
def test_terms_that_cannot_be_are_refused_in_words(desk: Client, changed: dict[str, Any], said: str) -> None:
    form = terms_form(timezone.now() + timedelta(days=1), **changed)
    answer = words(desk.post(page(ProgrammeTerms, "add"), form))
    assert said in answer
    assert "Constraint" not in answer
    assert ProgrammeTerms.objects.count() == 1


def test_bonus_may_be_all_of_the_spend(desk: Client) -> None:
    desk.post(page(ProgrammeTerms, "add"), terms_form(timezone.now() + timedelta(days=1), bonus_rate="1"))
    assert ProgrammeTerms.objects.latest("pk").bonus_rate == 1


@pytest.mark.parametrize("ahead", [timedelta(days=-1), timedelta(minutes=4)])
def test_terms_do_not_start_without_notice(desk: Client, ahead: timedelta) -> None:
    answer = desk.post(page(ProgrammeTerms, "add"), terms_form(timezone.now() + ahead))
    assert b"more than 5 minutes from now" in answer.content
    assert ProgrammeTerms.objects.count() == 1


def test_started_terms_are_looked_at(desk: Client) -> None:
    terms = ProgrammeTerms.objects.get()
    assert b'name="_save"' not in desk.get(page(ProgrammeTerms, "change", terms.pk)).content
    assert desk.post(page(ProgrammeTerms, "change", terms.pk), terms_form(timezone.now())).status_code == 403


# Cards


def card_form(**changed: Any) -> dict[str, Any]:
    card = {"title": "A card", "text": "Worth {trial_individual}.", "link": "/free-trial/", "link_label": "Go"}
    return {**card, "product": "", "position": 9, "is_visible": "on", **changed}


def test_cards_are_added_changed_and_hidden(desk: Client) -> None:
    desk.post(page(BenefitCard, "add"), card_form())
    card = BenefitCard.objects.latest("pk")
    assert (card.title, card.position, card.is_visible) == ("A card", 9, True)
    desk.post(page(BenefitCard, "change", card.pk), card_form(title="Another", is_visible=""))
    card.refresh_from_db()
    assert (card.title, card.is_visible) == ("Another", False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": "Worth {everything}."}, "The terms have no number of this name: everything."),
        ({"text": "For {price}."}, "The terms have no number of this name: price."),
        ({"title": "{payouts}"}, "The terms have no number of this name: payouts."),
        ({"link": "javascript:alert(1)"}, "A link begins with / or with https://."),
        ({"link": "//example.com"}, "A link begins with / or with https://."),
    ],
)
def test_cards_that_make_no_sense_are_refused_in_words(desk: Client, changed: dict[str, Any], said: str) -> None:
    before = BenefitCard.objects.count()
    assert said in words(desk.post(page(BenefitCard, "add"), card_form(**changed)))
    assert BenefitCard.objects.count() == before
