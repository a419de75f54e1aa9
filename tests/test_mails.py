"""Each mail comes with its cause, says the numbers of the referral's own terms, and nothing else of a friend."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import transaction
from django.test import Client

from accounts.models import IdentityVerification, OutboxMessage, User
from accounts.operations import Message, write_messages
from credits.operations import RedemptionFact, record_redemptions
from referrals.models import ProgrammeTerms, Referral, ReferralLink
from referrals.operations import disqualify, lift_refusal, open_flag, refuse, reinstate, release_flag, settle, track
from referrals.operations.terms import add_terms
from tests.facts import NOW, day, fact, record, refund, register
from tests.mailing import delivered, html_of, kinds, markup_of, reachable, text_of
from tests.markup import faults
from tests.newcomers import PASSWORD, fill_in, mailed_code, referrer, sign_up
from tests.pages import make_eligible

pytestmark = pytest.mark.django_db(transaction=True)

QUALIFIED = day(1, 20)
DUE = day(2, 19)
BY_STAFF: dict[str, Any] = {"reason": "A doubt."}


@pytest.fixture
def alice() -> User:
    return reachable(register("alice"))


@pytest.fixture
def bob(alice: User) -> User:
    return register("bob", referred_by=alice)


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("staff@example.com", is_staff=True, created_at=NOW)


def spend(friend: User, amount: str = "21", *, event: str = "p1") -> None:
    """Let a friend spend on 20 January, and track it the day after."""
    record(fact(friend, event, amount, QUALIFIED))
    track(now=QUALIFIED + timedelta(days=1))


def the_one(now: Any = NOW) -> Any:
    """The one mail that is due, its text the same in HTML."""
    (letter,) = delivered(now)
    return letter


# Sign-up on the website


def come_through(link: ReferralLink, name: str) -> User:
    """A newcomer signs up through a link."""
    client = Client()
    with time_machine.travel(NOW, tick=False):
        client.get(f"/r/{link.code}/")
        return sign_up(client, f"{name}@example.com")


def test_code_arrives_at_once_as_text_and_html(client: Client) -> None:
    fill_in(client, "bob@example.com")
    (letter,) = mail.outbox
    assert letter.subject == "Your code for Example Cloud"
    assert mailed_code() in text_of(letter)
    assert mailed_code() in html_of(letter)
    assert letter.to == ["bob@example.com"]


def test_code_does_not_stay_in_the_outbox(client: Client) -> None:
    fill_in(client, "bob@example.com")
    message = OutboxMessage.objects.get()
    assert message.sent_at is not None
    assert message.facts == {}


def test_code_comes_in_the_language_of_the_form(client: Client) -> None:
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    fill_in(client, "bob@example.com")
    assert '<html lang="de">' in markup_of(mail.outbox[-1])


def test_notice_of_a_change_names_the_zone(client: Client, alice: User) -> None:
    reachable(alice, time_zone="Europe/Berlin").set_password(PASSWORD)
    alice.save(update_fields=["password"])
    client.force_login(alice)
    chosen = {"oldpassword": PASSWORD, "password1": "a meadow of herons", "password2": "a meadow of herons"}
    with time_machine.travel(NOW, tick=True):
        client.post("/accounts/password/change/", chosen)
    (letter,) = mail.outbox
    assert letter.subject == "Your password has been changed"
    assert "It was done on 1 Nov 2026, 01:00 CET, from the address" in text_of(letter)
    assert letter.to == ["alice@example.com"]


def test_newcomer_is_told_of_welcome_credit_and_the_referrer_of_the_friend() -> None:
    link = referrer("alice")
    reachable(link.owner)
    bob = come_through(link, "bob")
    assert kinds(bob)[1:] == ["welcome_credit"]
    assert kinds(link.owner) == ["friend_joined"]
    mail.outbox.clear()
    to_alice, to_bob = sorted(delivered(NOW), key=lambda letter: letter.to)
    assert to_bob.subject == "Welcome: $5 of credit and a $300 free trial"
    assert "Welcome credit: $5.00, until 30 Apr 2027, 00:00 UTC" in text_of(to_bob)
    assert "Free trial: $300.00, until 1 Nov 2027, 00:00 UTC" in text_of(to_bob)
    assert to_alice.subject == "A friend has joined through your link"
    assert "Your friend who joined in November 2026 has opened an account." in text_of(to_alice)
    assert "Once qualifying spend reaches $20, you earn $20; it arrives 30 days after that." in text_of(to_alice)
    assert "in the first 90 days you earn 10% as a bonus, at most $280." in text_of(to_alice)


def test_newcomer_without_a_link_is_told_of_the_trial_only(client: Client) -> None:
    with time_machine.travel(NOW, tick=False):
        sign_up(client, "bob@example.com")
    letter = delivered(NOW)[-1]
    assert letter.subject == "Welcome: your $300 free trial"
    assert "Welcome credit" not in text_of(letter)


def test_accounts_that_the_billing_system_brings_are_no_news(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(signup_attribution={})
    register("bob", referred_by=alice, at=NOW)
    assert kinds() == []


# Earning


def test_referrer_is_told_once_that_a_friend_has_qualified(alice: User, bob: User) -> None:
    spend(bob)
    spend(bob, "5", event="p2")
    letter = the_one()
    assert letter.to == ["alice@example.com"]
    assert letter.subject == "Your friend has qualified: $20 is on its way"
    for words in (text_of(letter), html_of(letter)):
        assert "Your friend who joined in January 2026 has reached $20 of qualifying spend." in words
    assert "Payout: $20.00" in text_of(letter)
    assert "Due: 19 Feb 2026, 00:00 UTC" in text_of(letter)


def test_friend_who_qualifies_under_review_promises_no_date(alice: User, bob: User, staff: User) -> None:
    referral = Referral.objects.get(friend=bob)
    open_flag(
        referral_id=referral.pk, rule="card", severity="hold", evidence={}, actor=staff, now=QUALIFIED, **BY_STAFF
    )
    spend(bob)
    letter = delivered(NOW)[-1]
    assert letter.subject == "Your friend has qualified"
    assert "waits until the review has ended well" in text_of(letter)
    assert "Due" not in text_of(letter)


@pytest.mark.parametrize(("later", "told"), [(timedelta(days=7), True), (timedelta(days=7, seconds=1), False)])
def test_what_happened_more_than_a_week_ago_is_history(alice: User, bob: User, later: timedelta, told: bool) -> None:
    record(fact(bob, "p1", "21", QUALIFIED))
    track(now=QUALIFIED + later)
    assert kinds() == (["friend_qualified"] if told else [])
    OutboxMessage.objects.all().delete()
    settle(as_of=DUE, now=DUE + later)
    assert kinds() == (["credit_arrived"] if told else [])


def test_referrer_is_told_of_a_payout_and_until_when_it_is_valid(alice: User, bob: User) -> None:
    record(fact(bob, "p1", "21", QUALIFIED))
    settle(as_of=DUE, now=DUE)
    letter = the_one()
    assert letter.subject == "$20 of credit has arrived"
    assert "Friend, joined January 2026: payout: $20.00" in text_of(letter)
    assert "valid until 18 Aug 2026, 00:00 UTC" in text_of(letter)
    assert "http://127.0.0.1:8000/console/coupons/" in text_of(letter)


def test_a_settlement_is_one_mail_however_many_friends(alice: User) -> None:
    friends = [register(f"friend-{n}", referred_by=alice, at=day(1, 1 + n)) for n in range(12)]
    record(*(fact(friend, f"p-{friend.pk}", "21", QUALIFIED) for friend in friends))
    settle(as_of=DUE, now=DUE)
    letter = the_one()
    assert letter.subject == "$240 of credit has arrived"
    assert text_of(letter).count("joined January 2026: payout: $20.00") == 10
    assert "and 2 more: $40.00" in text_of(letter)


def test_reward_that_settles_a_debt_says_so(alice: User, bob: User) -> None:
    record(fact(bob, "p1", "21", QUALIFIED))
    settle(as_of=DUE, now=DUE)
    used = RedemptionFact(1, "r1", "alice", "15", day(2, 20).isoformat())
    assert not record_redemptions(source="billing", facts=[used], now=day(2, 20)).refusals
    record(refund(bob, "back", "21", "p1", at=day(2, 21)), now=day(2, 21))
    settle(as_of=day(2, 22), now=day(2, 22))
    cem = register("cem", referred_by=alice)
    record(fact(cem, "c1", "20", day(2, 22)))
    settle(as_of=day(4, 1), now=day(4, 1))
    arrived, taken_back, settled = delivered(NOW)
    assert arrived.subject == "$20 of credit has arrived"
    assert taken_back.subject == "$20 of your rewards was taken back"
    assert "Friend, joined January 2026: a payment was reversed: $20.00" in text_of(taken_back)
    assert "Revoked: it was unused on your coupons: $5.00" in text_of(taken_back)
    assert "Set against your next rewards: it had been used: $15.00" in text_of(taken_back)
    assert "Nothing is charged to you." in text_of(taken_back)
    assert settled.subject == "$5 of credit has arrived"
    assert "$15.00 of it settled what was owed from before; $5.00 is credit" in text_of(settled)


# Decisions


def test_referrer_is_told_of_a_hold_and_its_end(alice: User, bob: User, staff: User) -> None:
    spend(bob)
    delivered(NOW)
    referral = Referral.objects.get(friend=bob)
    opened = {"referral_id": referral.pk, "severity": "hold", "evidence": {}, "actor": staff, "now": NOW, **BY_STAFF}
    card, device = (open_flag(rule=rule, **opened) for rule in ("card", "device"))
    letter = the_one()
    assert letter.subject == "We are looking at one of your referrals"
    assert "Waits for the review: $20.10" in text_of(letter)
    release_flag(flag_id=card.pk, actor=staff, now=NOW, **BY_STAFF)
    assert delivered(NOW) == [], "the other hold is open still"
    release_flag(flag_id=device.pk, actor=staff, now=NOW, **BY_STAFF)
    letter = the_one()
    assert letter.subject == "The review of your referral has ended well"
    assert "Earned and not yet paid: $20.10" in text_of(letter)


def test_note_holds_nothing_and_is_not_told(alice: User, bob: User, staff: User) -> None:
    referral = Referral.objects.get(friend=bob)
    open_flag(referral_id=referral.pk, rule="card", severity="note", evidence={}, actor=staff, now=NOW, **BY_STAFF)
    assert kinds() == []


def test_refusal_is_told_to_referrer_and_friend_and_its_lifting_too(alice: User, bob: User, staff: User) -> None:
    reachable(bob)
    record(fact(bob, "p1", "21", QUALIFIED))
    settle(as_of=DUE, now=DUE)
    delivered(NOW)
    referral = Referral.objects.get(friend=bob)
    refuse(referral_id=referral.pk, actor=staff, now=DUE, **BY_STAFF)
    to_bob, to_alice = delivered(NOW)
    assert (to_alice.to, to_alice.subject) == (["alice@example.com"], "One of your referrals is refused")
    assert "What was paid, $20.00, is taken back" in text_of(to_alice)
    assert (to_bob.to, to_bob.subject) == (["bob@example.com"], "$5 of your welcome credit is revoked")
    settle(as_of=DUE, now=DUE + timedelta(hours=1))
    assert "joined January 2026: refused: $20.00" in text_of(the_one())
    lift_refusal(referral_id=referral.pk, actor=staff, now=NOW, **BY_STAFF)
    letter = the_one()
    assert letter.subject == "Your referral counts again"
    assert "Earned and not yet paid: $20.10" in text_of(letter)


def test_many_refused_at_once_are_one_mail(alice: User, staff: User) -> None:
    for n in range(12):
        register(f"friend-{n}", referred_by=alice)
    disqualify(user_id=alice.pk, actor=staff, now=NOW, **BY_STAFF)
    disqualified, letter = delivered(NOW)
    assert disqualified.subject == "Your account may not refer friends any more"
    assert "frozen until an appeal has ended" in text_of(disqualified)
    assert letter.subject == "12 of your referrals are refused"
    assert "and 2 more: $0.00" in text_of(letter)
    reinstate(user_id=alice.pk, actor=staff, now=NOW, **BY_STAFF)
    assert the_one().subject == "Your account may refer friends again"


def test_decision_that_is_undone_is_not_told(alice: User, bob: User, staff: User) -> None:
    referral = Referral.objects.get(friend=bob)
    with transaction.atomic():
        refuse(referral_id=referral.pk, actor=staff, now=NOW, **BY_STAFF)
        assert kinds() == ["reward_refused"]
        transaction.set_rollback(True)
    assert kinds() == []


# What other operations write


def test_changed_address_is_told_to_the_old_one(alice: User) -> None:
    told = Message("address_changed:1", "address_changed", alice.pk, recipient="old@example.com")
    write_messages(messages=[told], now=NOW)
    letter = the_one()
    assert letter.to == ["old@example.com"]
    assert "is another one now" in text_of(letter)
    assert "alice@example.com" not in text_of(letter) + html_of(letter)


@pytest.mark.parametrize(
    ("state", "subject"),
    [("passed", "Your identity is verified"), ("refused", "We could not verify your identity")],
)
def test_decided_verification_is_told_as_it_stands(alice: User, state: str, subject: str) -> None:
    if state == "passed":
        make_eligible(alice)
    else:
        IdentityVerification.objects.create(customer=alice, state="refused", refusal_reason="The picture is blurred.")
    OutboxMessage.objects.all().delete()
    write_messages(messages=[Message("verification:1", "verification_decided", alice.pk)], now=NOW)
    letter = the_one()
    assert letter.subject == subject
    assert ("The picture is blurred." in text_of(letter)) == (state == "refused")


def test_refused_upgrade_is_told_though_the_person_is_verified(alice: User) -> None:
    make_eligible(alice)
    facts = {"outcome": "refused", "reason": "The register names another company.", "account_type": "enterprise"}
    write_messages(messages=[Message("verification:1", "verification_decided", alice.pk, facts=facts)], now=NOW)
    letter = delivered(NOW)[-1]
    assert letter.subject == "We could not verify your identity"
    assert "The register names another company." in text_of(letter)


@pytest.mark.untrue_rows("closed_account_has_nothing_left", "closed_account_is_shut")
def test_farewell_goes_to_a_closed_account_and_nothing_else_does(alice: User) -> None:
    alice.closed_at, alice.is_active = NOW, False
    alice.save(update_fields=["closed_at", "is_active"])
    facts = {"revoked_amount": "25.00", "written_off_amount": "0.00"}
    farewell = Message("account_closed:1", "account_closed", alice.pk, recipient="former@example.com", facts=facts)
    write_messages(messages=[farewell, Message("one", "verification_decided", alice.pk)], now=NOW)
    letter = the_one()
    assert (letter.to, letter.subject) == (["former@example.com"], "Your account is closed")
    assert "Revoked: it was unused on your coupons: $25.00" in text_of(letter)
    assert "Written off" not in text_of(letter)
    assert "/console/profile/" not in text_of(letter), "nobody can open it any more"


# The numbers are those of the terms


def test_every_mail_follows_the_terms_of_the_referral() -> None:
    terms = ProgrammeTerms(
        starts_at=NOW - timedelta(days=1),
        payout=33, qualifying_threshold=44, payout_delay_days=7, bonus_rate="0.125", bonus_window_days=55,
        bonus_delay_days=8, cap_per_friend=133, credit_valid_days=66, trial_valid_days=77, welcome_individual=6,
        welcome_enterprise=12, trial_individual=111, trial_enterprise=222,
    )  # fmt: skip
    add_terms(terms=terms, now=NOW - timedelta(days=2))
    link = referrer("alice")
    reachable(link.owner)
    bob = come_through(link, "bob")
    mail.outbox.clear()
    joined, welcome = sorted(delivered(NOW), key=lambda letter: letter.to)
    assert welcome.subject == "Welcome: $6 of credit and a $111 free trial"
    assert "until 6 Jan 2027" in text_of(welcome)
    assert "until 17 Jan 2027" in text_of(welcome)
    assert "Once qualifying spend reaches $44, you earn $33; it arrives 7 days after that." in text_of(joined)
    assert "above $44 in the first 55 days you earn 12.5% as a bonus, at most $100." in text_of(joined)
    assert "It is due on 3 Jan 2027" in text_of(joined)
    record(fact(bob, "p1", "444", NOW), now=NOW)
    track(now=NOW)
    (qualified,) = delivered(NOW)
    assert qualified.subject == "Your friend has qualified: $33 is on its way"
    assert "has reached $44 of qualifying spend" in text_of(qualified)
    assert "Due: 8 Nov 2026" in text_of(qualified)
    due = NOW + timedelta(days=7)
    settle(as_of=due, now=due)
    (arrived,) = delivered(due)
    assert arrived.subject == "$33 of credit has arrived"
    assert "valid until 13 Jan 2027" in text_of(arrived)


# Reader and friend


def test_mail_names_the_readers_zone(alice: User, bob: User) -> None:
    reachable(alice, time_zone="Europe/Berlin")
    spend(bob)
    letter = the_one()
    assert "Due: 19 Feb 2026, 01:00 CET" in text_of(letter)
    for words in (text_of(letter), html_of(letter)):
        assert "Times are in Europe/Berlin." in words


def test_mail_is_written_as_the_readers_language_writes(alice: User, bob: User) -> None:
    reachable(alice, language="de", time_zone="Europe/Berlin")
    spend(bob)
    letter = the_one()
    assert "19. Feb. 2026, 01:00 CET" in text_of(letter)
    assert "20,00 $" in text_of(letter)
    assert "Januar 2026" in text_of(letter)
    assert '<html lang="de">' in markup_of(letter)


def test_friend_is_named_only_as_they_chose(alice: User, bob: User) -> None:
    bob.public_first_name = "Bo <b>"
    bob.save(update_fields=["public_first_name"])
    spend(bob)
    letter = the_one()
    assert "Your friend Bo <b>, who joined in January 2026, has reached" in text_of(letter)
    assert "Bo &lt;b&gt;" in markup_of(letter)


@pytest.mark.untrue_rows("closed_account_has_nothing_left", "closed_account_is_shut")
def test_former_customer_is_called_that_and_by_no_name(alice: User, bob: User) -> None:
    bob.public_first_name, bob.closed_at, bob.is_active = "Canary", NOW, False
    bob.save(update_fields=["public_first_name", "closed_at", "is_active"])
    record(fact(bob, "p1", "21", QUALIFIED))
    settle(as_of=DUE, now=DUE)
    letter = the_one()
    assert "Former customer, joined January 2026: payout: $20.00" in text_of(letter)
    assert "Canary" not in text_of(letter) + html_of(letter)


def test_no_mail_of_the_referrer_holds_anything_of_a_friend(alice: User, staff: User) -> None:
    canary = register("canary-7b1f", referred_by=alice)
    referral = Referral.objects.get(friend=canary)
    spend(canary)
    flag = open_flag(
        referral_id=referral.pk, rule="card", severity="hold", evidence={}, actor=staff, now=NOW, **BY_STAFF
    )
    release_flag(flag_id=flag.pk, actor=staff, now=NOW, **BY_STAFF)
    settle(as_of=DUE, now=DUE)
    refuse(referral_id=referral.pk, actor=staff, now=DUE, **BY_STAFF)
    settle(as_of=DUE, now=DUE + timedelta(hours=1))
    lift_refusal(referral_id=referral.pk, actor=staff, now=DUE, **BY_STAFF)
    letters = delivered(NOW)
    assert len(letters) == 7
    for letter in letters:
        whole = letter.message().as_string() + letter.body + markup_of(letter)
        assert "canary" not in whole.lower()
        assert "p1" not in text_of(letter).split()


def test_every_kind_of_mail_says_the_same_in_text_and_in_html(alice: User, bob: User, staff: User) -> None:
    referral = Referral.objects.get(friend=bob)
    spend(bob)
    open_flag(referral_id=referral.pk, rule="card", severity="hold", evidence={}, actor=staff, now=NOW, **BY_STAFF)
    refuse(referral_id=referral.pk, actor=staff, now=NOW, **BY_STAFF)
    for letter in delivered(NOW):
        assert [one for one in faults(markup_of(letter)) if "brings its own style" not in one] == []
        sentences = [one for one in text_of(letter).partition(" -- ")[0].split(". ") if "http" not in one]
        assert sentences
        for sentence in sentences:
            assert all(word in html_of(letter) for word in sentence.replace("- ", "").replace(":", "").split()), (
                sentence
            )
