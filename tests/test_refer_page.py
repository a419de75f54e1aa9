"""Refer a Friend, as its reader sees it."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
import segno
import time_machine
from django.test import Client

from accounts.models import IdentityVerification, User
from accounts.operations import Identity, add_payment_method, move_eligibility, pass_verification
from referrals.models import NEVER, ProgrammeTerms, Referral, ReferralLink, VisitCount
from referrals.operations import close_account, disqualify, refuse, switch_link_off
from tests.facts import JANUARY, NOW, chargeback, day, fact, record, register
from tests.pages import friend_address, make_eligible, read, signed_in, words
from tests.referring import REFER, alice, bob, hold, settle_at

__all__ = ["alice", "bob"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

TICK = timedelta(microseconds=1)


# Who may refer


@pytest.mark.parametrize("address", [REFER, "/console/refer/1/", "/console/coupons/", "/console/coupons/1/"])
def test_visitors_are_asked_to_sign_in(address: str) -> None:
    response = Client().get(address)
    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next={address}"


def test_a_new_customer_reads_what_is_still_to_do(alice: User) -> None:
    page = read(alice, REFER)
    assert "Add a payment method" in page
    assert "Verify your identity" in page
    assert "Your link" not in page
    assert "Nobody has joined yet" in page


def test_a_step_that_is_done_is_said_to_be_done(alice: User) -> None:
    add_payment_method(user_id=alice.pk, now=NOW)
    IdentityVerification.objects.create(customer=alice, submitted_digest="digest")
    page = read(alice, REFER)
    assert "Payment method On file." in page
    assert "We are checking your document" in page


def test_an_eligible_customer_has_the_link_and_a_button_to_copy_it(alice: User) -> None:
    make_eligible(alice)
    with_link = Client()
    with_link.force_login(alice)
    page = with_link.get(REFER).content.decode()
    code = ReferralLink.objects.get(owner=alice).code
    assert f'value="http://127.0.0.1:8000/r/{code}"' in page
    assert 'data-copy="link"' in page
    assert "Before you get your link" not in words(page)


def test_a_link_that_is_off_is_not_offered(alice: User) -> None:
    make_eligible(alice)
    switch_link_off(user_id=alice.pk, actor=None, reason="asked for", now=NOW)
    page = read(alice, REFER)
    assert "Your link is switched off" in page
    assert "Copy link" not in page


def test_a_disqualified_customer_reads_so_and_nothing_is_on_its_way(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    disqualify(user_id=alice.pk, actor=None, reason="card theft", refuse_referrals=[], now=day(1, 22))
    page = read(alice, REFER, at=day(2, 1))
    assert "This account may not refer friends" in page
    assert "On its way $0.00" in page
    assert "arriving" not in page
    assert "card theft" not in page


def test_a_second_account_of_a_person_reads_that_the_first_has_the_link(alice: User) -> None:
    carol = register("carol")
    make_eligible(alice)
    IdentityVerification.objects.create(
        customer=carol, state=IdentityVerification.State.PASSED, passed_at=NOW, identity_digest="the same person"
    )
    add_payment_method(user_id=carol.pk, now=NOW)
    page = read(carol, REFER)
    assert "Another account of yours refers friends" in page
    assert "You may move it to this account once." in page


def test_who_has_moved_the_link_once_is_not_told_that_they_may(alice: User) -> None:
    carol, passport = register("carol"), Identity("DE", "passport", "the same person")
    for account in (alice, carol):
        add_payment_method(user_id=account.pk, now=NOW)
        pass_verification(user_id=account.pk, identity=passport, account_type="individual", now=NOW)
    move_eligibility(user_id=carol.pk, now=NOW)
    page = read(alice, REFER)
    assert "Another account of yours refers friends" in page
    assert "you have moved it between your accounts once" in page
    assert "may move" not in page


# Figures and friends


def test_a_qualified_friend_shows_when_the_payout_arrives(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    page = read(alice, REFER, at=day(2, 16))
    assert "Joined 1 Qualified 1 Paid to you $0.00 On its way $20.10" in page
    number = Referral.objects.get(friend=bob).pk
    assert (
        f"Friend · joined January 2026 No. {number} Waiting until 19 Feb 2026 Qualified $20 arriving in 3 days "
        "Payout, due 19 Feb 2026 $20.10 not paid yet"
    ) in page


@pytest.mark.parametrize(
    ("before", "words_for_it"),
    [
        (timedelta(days=3, seconds=1), "in 4 days"),
        (timedelta(days=3), "in 3 days"),
        (timedelta(days=2, seconds=1), "in 3 days"),
        (timedelta(days=1, seconds=1), "in 2 days"),
        (timedelta(days=1), "in 24 hours"),
        (timedelta(hours=2), "in 2 hours"),
        (timedelta(hours=1), "within the hour"),
        (timedelta(), "any moment now"),
        (timedelta(days=-1), "any moment now"),
    ],
)
def test_the_wait_is_worded_rounded_up(alice: User, bob: User, before: timedelta, words_for_it: str) -> None:
    settle_at(day(1, 21))
    assert f"$20 arriving {words_for_it} " in read(alice, REFER, at=day(2, 19) - before)


def test_a_friend_is_a_month_and_a_stage_and_never_a_name(alice: User, bob: User) -> None:
    settle_at(day(5, 1))
    for address in (REFER, friend_address(bob), "/console/coupons/"):
        page = read(alice, address)
        assert "bob" not in page
        assert "example.com" not in page.replace("alice@example.com", "")
        assert "rds" not in page
        assert "$12" not in page
        assert "$9.00" not in page


def test_every_stage_has_its_words(alice: User, bob: User) -> None:
    for name, amount in (("carol", "19.99"), ("dave", "20"), ("erin", "20"), ("frank", "20")):
        record(fact(register(name, referred_by=alice), f"of-{name}", amount, day(1, 10)))
    friends = {user.account_id: user for user in User.objects.all()}
    settle_at(day(2, 10))
    hold(friends["erin"])
    refuse(referral_id=Referral.objects.get(friend=friends["frank"]).pk, actor=None, reason="same", now=day(2, 10))
    record(chargeback(friends["dave"], "back", "20", "of-dave"))
    settle_at(day(2, 10))
    stages = {friend: read(alice, friend_address(friends[friend])) for friend in ("carol", "dave", "erin", "frank")}
    assert "joined January 2026 Joined" in stages["carol"]
    assert "joined January 2026 Clawed back" in stages["dave"]
    assert "joined January 2026 Under review" in stages["erin"]
    assert "joined January 2026 Refused" in stages["frank"]
    waiting, due = (read(alice, friend_address(bob), at=day(2, 19) - left) for left in (TICK, timedelta()))
    assert "joined January 2026 Waiting until 19 Feb 2026" in waiting
    assert "joined January 2026 Qualified" in due
    assert "joined January 2026 Paid" in read(alice, friend_address(settled(bob)))


def settled(friend: User) -> User:
    settle_at(day(5, 1))
    return friend


def test_credit_that_waits_for_a_review_is_told_apart(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    hold(bob)
    page = read(alice, REFER, at=day(2, 16))
    assert "On its way $0.00 $20.10 more is under review" in page
    assert "Waits for the review" in page


@pytest.fixture
def crowd(alice: User) -> list[User]:
    """Friends of three months, four at one instant each, of whom every second one has earned the more the later."""
    friends = [
        register(f"friend-{number:02}", referred_by=alice, at=JANUARY + timedelta(days=31 * (number // 4)))
        for number in range(12)
    ]
    record(*(fact(friend, f"of-{n}", str(20 + 100 * n), friend.created_at) for n, friend in enumerate(friends[::2])))
    settle_at(day(1, 2))
    return friends


SORTS = {
    "": lambda one: (one.registered_at, one.pk),
    "oldest": lambda one: (one.registered_at, one.pk),
    "next": lambda one: (one.payout_due_at if one.payout_earned.amount else NEVER, one.pk),
    "earned": lambda one: (one.payout_earned + one.bonus_earned, one.pk),
}


@pytest.mark.parametrize("sort", SORTS)
def test_friends_come_page_by_page_in_every_order(alice: User, crowd: list[User], sort: str) -> None:
    client, shown, address = signed_in(alice), [], f"{REFER}?sort={sort}"
    with time_machine.travel(day(1, 3), tick=False):
        while address:
            page = client.get(address).context["page"].friends
            assert len(page.rows) in (10, 2)
            shown += [friend.referral.pk for friend in page.rows]
            address = f"{REFER}?sort={sort}&after={page.next}" if page.next else ""
    in_order = sorted(Referral.objects.all(), key=SORTS[sort], reverse=sort in ("", "earned"))
    assert shown == [referral.pk for referral in in_order]


def test_pages_lead_on_and_back_and_keep_stage_and_order(alice: User, crowd: list[User]) -> None:
    first = signed_in(alice).get(f"{REFER}?sort=oldest&stage=")
    assert "More friends" in words(first.content.decode())
    second = signed_in(alice).get(f"{REFER}?sort=oldest&after={first.context['page'].friends.next}")
    assert "More friends" not in words(second.content.decode())
    assert 'href="?sort=oldest"' in second.content.decode()
    assert "Back to the start" in words(second.content.decode())
    assert f'href="?sort=oldest&amp;after={first.context["page"].friends.next}"' in first.content.decode()


@pytest.mark.parametrize("address", ["?stage=lost", "?sort=name", "?sort=earned&after=x_1", "?sort=next&after=1_x"])
def test_a_stage_or_an_order_that_is_none_is_refused(alice: User, address: str) -> None:
    read(alice, f"{REFER}{address}", status=400)


@pytest.mark.parametrize("query", ["?stage=lost", "?sort=name"])
def test_the_file_of_a_stage_or_an_order_that_is_none_is_refused(alice: User, query: str) -> None:
    read(alice, f"{REFER}friends.csv{query}", status=400)


def test_friends_are_listed_by_their_stage(alice: User, bob: User) -> None:
    every = {name: register(name, referred_by=alice) for name in ("carol", "dave", "erin", "frank", "grace")}
    record(*(fact(every[name], f"of-{name}", "20", day(1, 10)) for name in ("dave", "erin", "frank", "grace")))
    settle_at(day(2, 10))
    hold(every["erin"])
    refuse(referral_id=Referral.objects.get(friend=every["frank"]).pk, actor=None, reason="same", now=day(2, 10))
    record(chargeback(every["dave"], "back", "20", "of-dave"))
    settle_at(day(2, 10))
    before, due = day(2, 19) - TICK, day(2, 19)
    assert listed(alice, "joined", before) == [every["carol"]]
    assert listed(alice, "paid", before) == [every["grace"]]
    assert listed(alice, "held", before) == [every["erin"]]
    assert listed(alice, "refused", before) == [every["frank"]]
    assert listed(alice, "clawed_back", before) == [every["dave"]]
    assert listed(alice, "qualified", before) == listed(alice, "qualified", due) == [bob]
    assert listed(alice, "waiting", before) == [bob]
    assert listed(alice, "waiting", due) == []
    assert "No friend is at this stage" in read(alice, f"{REFER}?stage=waiting", at=due)


def listed(reader: User, stage: str, at: datetime) -> list[User]:
    with time_machine.travel(at, tick=False):
        page = signed_in(reader).get(f"{REFER}?stage={stage}").context["page"]
    return [friend.referral.friend for friend in page.friends.rows]


def test_htmx_gets_the_list_alone_and_the_whole_page_when_going_back(alice: User, bob: User) -> None:
    client = signed_in(alice)
    part = client.get(REFER, headers={"hx-request": "true"})
    whole = client.get(REFER, headers={"hx-request": "true", "hx-history-restore-request": "true"})
    assert part.content.decode().lstrip().startswith('<div id="friends-list"')
    assert "<!doctype html>" in whole.content.decode()
    assert "HX-Request" in part["Vary"]
    assert "HX-Request" in whole["Vary"]


def test_two_friends_of_one_month_are_told_apart_and_keep_their_numbers(alice: User) -> None:
    bob, carol = register("bob", referred_by=alice), register("carol", referred_by=alice)
    numbers = [Referral.objects.get(friend=friend).pk for friend in (bob, carol)]
    record(fact(bob, "of-bob", "20"))
    settle_at(day(3, 1))
    for address in (REFER, f"{REFER}?sort=earned"):
        assert all(f"joined January 2026 No. {number}" in read(alice, address) for number in numbers)


def test_a_first_name_is_shown_only_if_its_friend_made_it_public(alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(public_first_name="Bobby")
    assert "Bobby · joined January 2026" in read(alice, REFER)
    assert "Bobby · joined January 2026" in read(alice, friend_address(bob))
    close_account(user_id=bob.pk, now=day(2, 1))
    assert "Former customer · joined January 2026" in read(alice, REFER)
    assert "Bobby" not in read(alice, REFER)


# The file


def csv_of(reader: User, query: str = "", *, at: datetime = NOW) -> list[dict[str, str]]:
    with time_machine.travel(at, tick=False):
        answer = signed_in(reader).get(f"{REFER}friends.csv{query}")
        assert answer["Content-Disposition"] == 'attachment; filename="friends.csv"'
        text = b"".join(answer).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_the_file_holds_every_friend_as_the_pages_show_them(alice: User, bob: User) -> None:
    carol = register("carol", referred_by=alice)
    record(fact(carol, "of-carol", "9.99", day(1, 5)))
    settle_at(day(1, 21))
    of_carol, of_bob = csv_of(alice, at=day(1, 21))
    assert (of_carol["stage"], of_carol["quarters_of_threshold"], of_carol["qualifying_spend"]) == ("joined", "1", "")
    assert of_carol["next_due_at"] == of_carol["qualified_at"] == ""
    assert of_bob == {
        "friend": str(Referral.objects.get(friend=bob).pk),
        "first_name": "",
        "joined": "2026-01",
        "stage": "waiting",
        "quarters_of_threshold": "4",
        "qualifying_spend": "21.00",
        "window_spend": "21.00",
        "qualified_at": "2026-01-20T00:00:00Z",
        "next_reward": "payout",
        "next_amount": "20.00",
        "next_due_at": "2026-02-19T00:00:00Z",
        "earned": "20.10",
        "paid": "0.00",
    }


def test_the_file_has_all_rows_in_the_order_and_of_the_stage_of_the_page(alice: User, crowd: list[User]) -> None:
    assert len(csv_of(alice)) == len(crowd)
    earned = [Decimal(row["earned"]) for row in csv_of(alice, "?sort=earned")]
    assert earned == sorted(earned, reverse=True)
    assert {row["stage"] for row in csv_of(alice, "?stage=joined")} == {"joined"}
    assert len(csv_of(alice, "?stage=joined")) == len(crowd) / 2


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)"])
def test_a_first_name_is_no_formula_in_the_file(alice: User, bob: User, name: str) -> None:
    User.objects.filter(pk=bob.pk).update(public_first_name=name)
    assert csv_of(alice)[0]["first_name"] == f"'{name}"


def test_the_file_is_one_of_the_readers_friends_alone(alice: User, bob: User) -> None:
    assert csv_of(register("mallory")) == []
    assert Client().get(f"{REFER}friends.csv").status_code == 302


# The link and how to share it


def eligible(user: User) -> str:
    make_eligible(user)
    return f"http://127.0.0.1:8000/r/{ReferralLink.objects.get(owner=user).code}"


def hrefs(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'href="([^"]*)"', page)]


def test_every_channel_takes_the_message_and_the_link_with_its_mark(alice: User) -> None:
    link = eligible(alice)
    page = signed_in(alice).get(REFER, {"message": "Try this: 100% & more"}).content.decode()
    said = quote("Try this: 100% & more", safe="")
    leads = {
        channel: next(href for href in hrefs(page) if quote(f"{link}?via={channel}", safe="") in href)
        for channel in ("email", "whatsapp", "x", "facebook", "linkedin", "telegram")
    }
    assert leads["email"].startswith("mailto:?subject=An%20invitation%20to%20Example%20Cloud&body=" + said)
    assert leads["whatsapp"] == "https://wa.me/?text=" + said + quote(f"\n{link}?via=whatsapp", safe="")
    assert leads["x"] == f"https://x.com/intent/post?text={said}&url={quote(f'{link}?via=x', safe='')}"
    assert leads["telegram"].endswith(f"&text={said}")
    assert leads["facebook"].startswith("https://www.facebook.com/sharer/sharer.php?u=")
    assert leads["linkedin"].startswith("https://www.linkedin.com/sharing/share-offsite/?url=")
    assert f'data-copied="{link}?via=copy"' in page
    assert f'data-share-sheet="{link}?via=device"' in page
    assert "Try this: 100% &amp; more</textarea>" in page


def test_a_message_is_cut_where_it_is_too_long_and_ours_where_there_is_none(alice: User) -> None:
    eligible(alice)
    long = signed_in(alice).get(REFER, {"message": "x" * 501}).content.decode()
    assert f">{'x' * 500}</textarea>" in long
    empty = signed_in(alice).get(REFER, {"message": "  "}).content.decode()
    assert "you start with $5 in credit and a free trial worth $300:</textarea>" in empty


@pytest.mark.parametrize(("kind", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_the_qr_code_is_of_the_marked_link_to_see_and_to_keep(alice: User, kind: str, begin: bytes) -> None:
    link, client = eligible(alice), signed_in(alice)
    shown, kept = client.get(f"{REFER}qr.{kind}"), client.get(f"{REFER}qr.{kind}?download")
    expected = io.BytesIO()
    segno.make(f"{link}?via=qr", error="m", micro=False).save(expected, kind=kind, scale=8, border=4)
    assert shown.content == kept.content == expected.getvalue()
    assert shown.content.startswith(begin)
    assert "Content-Disposition" not in shown
    assert kept["Content-Disposition"] == f'attachment; filename="refer-a-friend.{kind}"'


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_there_is_no_qr_code_without_a_link(alice: User, kind: str) -> None:
    read(alice, f"{REFER}qr.{kind}", status=404)
    eligible(alice)
    switch_link_off(user_id=alice.pk, actor=None, reason="asked for", now=NOW)
    read(alice, f"{REFER}qr.{kind}", status=404)
    assert Client().get(f"{REFER}qr.{kind}").status_code == 302


def test_each_step_has_the_button_that_does_it(alice: User) -> None:
    page = signed_in(alice).get(REFER).content.decode()
    assert "/console/payment-methods/" in button(page, "Add a payment method")
    assert "/console/verification/" in button(page, "Verify your identity")
    IdentityVerification.objects.create(customer=alice, state=IdentityVerification.State.REFUSED)
    page = signed_in(alice).get(REFER).content.decode()
    assert "/console/verification/" in button(page, "Verify again")


def button(page: str, name: str) -> str:
    found = re.search(rf'<a class="button[^"]*" href="([^"]*)">{name}</a>', page)
    assert found
    return found.group(1)


@pytest.mark.untrue_rows("payment_methods_are_what_is_on_file")
def test_a_payment_method_that_has_expired_is_to_be_renewed(alice: User) -> None:
    eligible(alice)
    User.objects.filter(pk=alice.pk).update(payment_method_expires_at=day(3, 1))
    assert "Your link" in read(alice, REFER, at=day(3, 1) - TICK)
    page = read(alice, REFER, at=day(3, 1))
    assert "Renew your payment method" in page
    assert "Your link" not in page


# Months


def visit(reader: User, on: date, count: int, channel: str = "qr") -> None:
    link = ReferralLink.objects.get(owner=reader)
    VisitCount.objects.create(link=link, day=on, channel=channel, visits=count)


def month_rows(page: str) -> dict[str, str]:
    """The table of the months, by its month."""
    table = page[page.index("The months as a table") : page.index("A visit is a person")]
    return dict(re.findall(r"(\w+ \d{4}) ((?:[−$0-9.,]+ ?)+)", table))


def test_figures_and_months_count_what_happened_in_each(alice: User, bob: User) -> None:
    eligible(alice)
    visit(alice, date(2026, 1, 31), 3)
    visit(alice, date(2026, 2, 1), 4)
    visit(alice, date(2026, 2, 1), 1, "x")
    visit(alice, date(2025, 3, 31), 1000)
    settle_at(day(2, 19))
    page = read(alice, REFER, at=day(3, 1))
    assert "Visits 1,008 Joined 1 Qualified 1 Paid to you $20.00 On its way $0.10" in page
    rows = month_rows(page)
    assert next(iter(rows)) == "March 2026"
    assert list(rows)[-1] == "April 2025"
    assert rows["January 2026"].split() == ["3", "1", "1", "$0.00"]
    assert rows["February 2026"].split() == ["5", "0", "0", "$20.00"]


def test_the_months_follow_the_figures_at_once(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    assert month_rows(read(alice, REFER, at=day(3, 1)))["February 2026"].split()[-1] == "$20.00"
    record(chargeback(bob, "back", "12", "ecs", day(2, 25)))
    settle_at(day(2, 26))
    assert month_rows(read(alice, REFER, at=day(3, 1)))["February 2026"].split()[-1] == "$0.00"


def test_a_month_is_one_of_the_readers_zone(alice: User, bob: User) -> None:
    register("carol", referred_by=alice, at=day(2, 1))
    settle_at(day(2, 2))
    assert month_rows(read(alice, REFER, at=day(3, 1)))["February 2026"].split()[1] == "1"
    User.objects.filter(pk=alice.pk).update(time_zone="America/Los_Angeles")
    rows = month_rows(read(User.objects.get(pk=alice.pk), REFER, at=day(3, 2)))
    assert rows["February 2026"].split()[1] == "0"
    assert rows["January 2026"].split()[1] == "1"
    assert rows["December 2025"].split()[1] == "1"


@pytest.mark.parametrize("place", ["x", "1", "1_", "_1", "1_x", "1_-1", "9" * 30 + "_1", f"1_{2**63}"])
def test_a_place_that_is_none_is_refused(alice: User, place: str) -> None:
    assert "could not be read" in read(alice, f"{REFER}?after={place}", status=400)


def test_the_numbers_are_those_of_the_terms(alice: User) -> None:
    ProgrammeTerms.objects.create(
        starts_at=day(6, 1), payout=35, qualifying_threshold=40, bonus_rate="0.125", cap_per_friend=500
    )
    before, after = read(alice, REFER, at=day(5, 31)), read(alice, REFER, at=day(6, 1))
    assert "spends $20 or more on qualifying products brings you $20 in credit, and 10% of" in before
    assert "spends $40 or more on qualifying products brings you $35 in credit, and 12.5% of" in after
    assert "up to $500 for each friend" in after
