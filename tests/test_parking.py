"""A row that fails by itself is set aside with its error; the others go on, and staff see it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import InternalError, connection
from django.test import Client
from django.urls import reverse

from accounts.models import ParkedRow, RefusedFact, User
from accounts.operations.parking import MOST_AT_ONCE
from billing.models import SpendBatch, SpendEvent, WaitingReversal
from billing.operations import SpendFact
from credits.models import Coupon, CouponEntry, Redemption
from credits.operations import RedemptionFact, record_redemptions
from referral_site.audit import audit
from referrals.models import Referral
from referrals.operations import Due, settle, track
from tests.facts import NOW, chargeback, codes, day, dispute_won, fact, record, refund, register

pytestmark = pytest.mark.django_db(transaction=True)

POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {row} THEN RAISE EXCEPTION 'a page of this row is damaged'; END IF;
    RETURN new;
END $$;
CREATE {constraint} TRIGGER poison {moment} ON {table} {deferred} FOR EACH ROW EXECUTE FUNCTION poison()
"""
CURE = "DROP TRIGGER poison ON {table}; DROP FUNCTION poison()"


@contextmanager
def poisoned(table: str, row: str, *, moment: str = "BEFORE INSERT", at_commit: bool = False) -> Iterator[None]:
    """Let the database fail at this row and no other."""
    how = (
        {"constraint": "CONSTRAINT", "moment": "AFTER INSERT", "deferred": "DEFERRABLE INITIALLY DEFERRED"}
        if at_commit
        else {"constraint": "", "moment": moment, "deferred": ""}
    )
    with connection.cursor() as cursor:
        cursor.execute(POISON.format(table=table, row=row, **how))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(CURE.format(table=table))


def parked(kind: str) -> list[str]:
    return list(ParkedRow.objects.filter(kind=kind, cleared_at=None).order_by("pk").values_list("key", flat=True))


def people(referrers: int) -> list[User]:
    """Friends, each with a referrer of their own, and $21 of spend that pays out on 19 February."""
    friends = []
    for number in range(referrers):
        referrer = register(f"referrer-{number}")
        friends.append(register(f"friend-{number}", referred_by=referrer))
    record(*[fact(friend, f"p-{friend.account_id}", "21", day(1, 20)) for friend in friends])
    return friends


def paid() -> list[str]:
    payouts = Coupon.objects.filter(kind="payout").order_by("customer_id")
    return list(payouts.values_list("customer__customer__account_id", flat=True))


# Spend


@pytest.fixture
def bob() -> User:
    return register("bob", referred_by=register("alice"))


@pytest.mark.parametrize("at_commit", [False, True])
def test_a_batch_goes_in_but_for_the_payment_that_fails(bob: User, at_commit: bool) -> None:
    facts = [fact(bob, f"p{n}", "1") for n in range(20)]
    with poisoned("billing_spendevent", "new.event_id = 'p13'", at_commit=at_commit):
        receipt = record(*facts)
    assert (receipt.tally.accepted, receipt.tally.refused, codes(receipt)) == (19, 1, ["parked"])
    assert SpendEvent.objects.count() == 19
    row = ParkedRow.objects.get()
    assert (row.kind, row.key, row.tries, row.cleared_at) == ("spend", "billing p13", 1, None)
    assert row.error == "InternalError P0001: a page of this row is damaged"
    assert row.fact == facts[13].fact


def test_it_is_one_batch_still(bob: User) -> None:
    with poisoned("billing_spendevent", "new.event_id IN ('p0', 'p7', 'p8')"):
        record(*[fact(bob, f"p{n}", "1") for n in range(9)])
    batch = SpendBatch.objects.get()
    assert (batch.accepted, batch.refused) == (6, 3)
    assert parked("spend") == ["billing p0", "billing p7", "billing p8"]


def test_a_reversal_that_fails_leaves_its_payment_and_the_reversals_after_it(bob: User) -> None:
    facts = [
        fact(bob, "p", "30"),
        refund(bob, "r1", "5", "p"),
        refund(bob, "r2", "6", "p"),
        refund(bob, "r3", "7", "p"),
    ]
    with poisoned("billing_spendevent", "new.event_id = 'r2'"):
        receipt = record(*facts)
    assert (receipt.tally.accepted, codes(receipt)) == (3, ["parked"])
    track(now=NOW)
    assert Referral.objects.get().qualifying_spend.amount == 18


def waiting_reversals() -> list[str]:
    return list(WaitingReversal.objects.order_by("pk").values_list("event_id", flat=True))


def events() -> set[str]:
    return set(SpendEvent.objects.values_list("event_id", flat=True))


def test_a_reversal_that_waited_and_fails_leaves_its_payment_and_the_others_that_waited(bob: User) -> None:
    waiting = [refund(bob, "r1", "5", "p"), refund(bob, "r2", "6", "p"), refund(bob, "r3", "7", "p")]
    record(*waiting)
    with poisoned("billing_spendevent", "new.event_id = 'r2'"):
        receipt = record(fact(bob, "p", "30"))
    assert (receipt.tally.accepted, receipt.tally.refused, receipt.tally.waiting) == (1, 1, 0)
    (refusal,) = receipt.refusals
    assert (refusal.line, refusal.code, refusal.fact) == (None, "parked", waiting[1].fact)
    assert (events(), waiting_reversals(), parked("spend")) == ({"p", "r1", "r3"}, [], ["billing r2"])
    assert SpendBatch.objects.get(accepted=1).refused == 1
    track(now=NOW)
    assert Referral.objects.get().qualifying_spend.amount == 18
    assert record(waiting[1]).tally.accepted == 1
    assert (events(), parked("spend")) == ({"p", "r1", "r2", "r3"}, [])


def test_a_payment_that_fails_leaves_the_reversals_that_wait_for_it(bob: User) -> None:
    record(refund(bob, "r", "5", "p"))
    with poisoned("billing_spendevent", "new.event_id = 'p'"):
        record(fact(bob, "p", "30"), fact(bob, "q", "1"))
    assert (events(), waiting_reversals(), parked("spend")) == ({"q"}, ["r"], ["billing p"])
    record(fact(bob, "p", "30"))
    assert (events(), waiting_reversals(), parked("spend")) == ({"p", "q", "r"}, [], [])


def test_a_payment_and_a_reversal_that_waited_may_both_fail(bob: User) -> None:
    record(refund(bob, "r", "5", "p"), refund(bob, "s", "5", "q"))
    with poisoned("billing_spendevent", "new.event_id IN ('p', 's')"):
        record(fact(bob, "p", "30"), fact(bob, "q", "30"))
    assert (events(), waiting_reversals(), parked("spend")) == ({"q"}, ["r"], ["billing p", "billing s"])


def test_a_reversal_that_stands_before_its_payment_and_fails_leaves_the_payment(bob: User) -> None:
    facts = [refund(bob, "r", "5", "p"), fact(bob, "p", "30"), refund(bob, "s", "6", "p")]
    with poisoned("billing_spendevent", "new.event_id = 'r'"):
        receipt = record(*facts)
    assert (receipt.tally.accepted, codes(receipt), events()) == (2, ["parked"], {"p", "s"})
    assert parked("spend") == ["billing r"]


def test_a_dispute_that_fails_leaves_the_chargeback_that_waited(bob: User) -> None:
    record(chargeback(bob, "c", "5", "p"))
    with poisoned("billing_spendevent", "new.event_id = 'w'"):
        record(fact(bob, "p", "30"), dispute_won(bob, "w", "5", "p"))
    assert (events(), waiting_reversals(), parked("spend")) == ({"p", "c"}, [], ["billing w"])


def test_a_dispute_that_waited_and_fails_leaves_the_chargeback_that_lets_it_in(bob: User) -> None:
    record(fact(bob, "p", "30"), dispute_won(bob, "w", "5", "p"))
    with poisoned("billing_spendevent", "new.event_id = 'w'"):
        record(chargeback(bob, "c1", "3", "p"), chargeback(bob, "c2", "3", "p"))
    assert (events(), waiting_reversals(), parked("spend")) == ({"p", "c1", "c2"}, [], ["billing w"])


def test_sent_again_it_goes_in_and_is_parked_no_more(bob: User) -> None:
    facts = [fact(bob, "p", "30"), fact(bob, "q", "5")]
    with poisoned("billing_spendevent", "new.event_id = 'q'"):
        record(*facts)
        record(*facts)
    assert ParkedRow.objects.get().tries == 2
    receipt = record(*facts)
    assert (receipt.tally.accepted, receipt.tally.duplicate) == (1, 1)
    assert ParkedRow.objects.get().cleared_at == NOW


@pytest.mark.parametrize("failures", [1, 2, 3, 4])
def test_an_error_that_passes_costs_no_fact(bob: User, failures: int) -> None:
    facts = [fact(bob, f"p{n}", "1") for n in range(5)]
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE tries")
    with poisoned("billing_spendbatch", f"nextval('tries') <= {failures}"):
        receipt = record(*facts)
    with connection.cursor() as cursor:
        cursor.execute("DROP SEQUENCE tries")
    assert (receipt.tally.accepted, codes(receipt), ParkedRow.objects.count()) == (5, [], 0)


def test_an_import_goes_on_behind_the_row_and_says_which_it_was(bob: User, tmp_path: Path) -> None:
    path, rejects, said = tmp_path / "spend.csv", tmp_path / "rejects.csv", io.StringIO()
    with path.open("w", newline="") as lines:
        out = csv.writer(lines)
        out.writerow(SpendFact._fields[1:])
        out.writerows([f"p{n}", "bob", "payment", "ecs", "USD", 1, "2026-01-05T00:00:00Z", ""] for n in range(9))
    with poisoned("billing_spendevent", "new.event_id = 'p4'"):
        call_command("import_spend", str(path), rejects=str(rejects), chunk_size=3, stdout=said)
    assert said.getvalue().splitlines()[-1] == "accepted=8 waiting=0 duplicate=0 refused=1"
    (row,) = csv.DictReader(rejects.open(newline=""))
    assert (row["line"], row["code"], row["event_id"]) == ("6", "parked", "p4")
    assert "a page of this row is damaged" in row["message"]
    assert RefusedFact.objects.get().code == "parked"


def test_an_import_counts_a_reversal_of_its_own_that_waited_and_failed(bob: User, tmp_path: Path) -> None:
    path, rejects, said = tmp_path / "spend.csv", tmp_path / "rejects.csv", io.StringIO()
    with path.open("w", newline="") as lines:
        out = csv.writer(lines)
        out.writerow(SpendFact._fields[1:])
        out.writerow(["r", "bob", "refund", "", "USD", 1, "2026-01-05T00:00:00Z", "p3"])
        out.writerows([f"p{n}", "bob", "payment", "ecs", "USD", 1, "2026-01-05T00:00:00Z", ""] for n in range(5))
    with poisoned("billing_spendevent", "new.event_id = 'r'"):
        call_command("import_spend", str(path), rejects=str(rejects), chunk_size=2, stdout=said)
    assert said.getvalue().splitlines()[-1] == "accepted=5 waiting=0 duplicate=0 refused=1"
    (row,) = csv.DictReader(rejects.open(newline=""))
    assert (row["line"], row["code"], row["event_id"]) == ("2", "parked", "r")


def test_where_everything_fails_it_is_not_the_rows(bob: User) -> None:
    facts = [fact(bob, f"p{n}", "1") for n in range(MOST_AT_ONCE + 1)]
    with poisoned("billing_spendevent", "true"), pytest.raises(InternalError):
        record(*facts)
    assert (SpendEvent.objects.count(), ParkedRow.objects.count()) == (0, 0)


# Accounts

ACCOUNTS = """account_id,email,account_type,country,registered_at,referred_by
alice,alice@example.com,individual,DE,2026-01-01T00:00:00Z,
bob,bob@example.com,individual,DE,2026-01-02T00:00:00Z,alice
cem,cem@example.com,individual,DE,2026-01-03T00:00:00Z,bob
dan,dan@example.com,individual,DE,2026-01-03T00:00:00Z,alice
"""


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("accounts_user", "new.account_id = 'bob'"),
        ("credits_coupon", "(SELECT account_id FROM accounts_user WHERE id = new.customer_id) = 'bob'"),
    ],
)
def test_accounts_register_but_for_the_one_that_fails_and_its_friends(tmp_path: Path, table: str, row: str) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text(ACCOUNTS)
    with poisoned(table, row):
        call_command("import_accounts", str(path), stdout=io.StringIO())
    assert set(User.objects.values_list("account_id", flat=True)) == {"alice", "dan"}
    refused = RefusedFact.objects.order_by("line").values_list("line", "code")
    assert list(refused) == [(3, "parked"), (4, "referrer")]
    assert parked("account") == ["bob"]
    call_command("import_accounts", str(path), stdout=io.StringIO())
    assert (User.objects.count(), Referral.objects.count(), parked("account")) == (4, 3, [])


# Redemptions


def test_redemptions_go_in_but_for_the_one_that_fails(bob: User) -> None:
    facts = [RedemptionFact(n, f"o{n}", "bob", "1", "2026-01-05T00:00:00Z") for n in range(5)]
    with poisoned("credits_redemption", "new.redemption_id = 'o2'"):
        receipt = record_redemptions(source="billing", facts=facts, now=NOW)
    assert (receipt.tally.accepted, [refusal.code for refusal in receipt.refusals]) == (4, ["parked"])
    assert parked("redemption") == ["billing o2"]
    again = record_redemptions(source="billing", facts=facts, now=NOW)
    assert (again.tally.accepted, again.tally.duplicate, parked("redemption")) == (1, 4, [])
    assert Redemption.objects.count() == 5


# Tracking


def test_the_other_friends_are_tracked() -> None:
    friends = people(5)
    with poisoned("referrals_referral", f"new.friend_id = {friends[2].pk}", moment="BEFORE UPDATE"):
        track(now=NOW)
        spend = Referral.objects.order_by("pk").values_list("qualifying_spend", flat=True)
        assert list(spend) == [21, 21, 0, 21, 21]
        row = ParkedRow.objects.get()
        assert (row.kind, row.customer_id, row.key) == ("tracking", friends[2].pk, str(friends[2].referral.pk))
        assert not SpendBatch.objects.filter(applied_at=None).exists(), "one friend holds up no batch"
        track(now=NOW)
        assert ParkedRow.objects.get().tries >= 2
    track(now=NOW)
    assert parked("tracking") == []
    assert set(Referral.objects.values_list("qualifying_spend", flat=True)) == {21}


def test_what_is_not_tracked_is_not_granted() -> None:
    """The sums of a friend whose tracking fails are old: a refund may stand behind them."""
    friends = people(2)
    track(now=NOW)
    record(refund(friends[0], "r", "5", "p-friend-0"))
    with poisoned("referrals_referral", f"new.friend_id = {friends[0].pk}", moment="BEFORE UPDATE"):
        settle(as_of=NOW, now=NOW)
    assert paid() == ["referrer-1"]
    settle(as_of=NOW, now=NOW)
    assert paid() == ["referrer-1"]
    record(fact(friends[0], "q", "4"))
    settle(as_of=NOW, now=NOW)
    assert paid() == ["referrer-0", "referrer-1"]


def test_however_many_are_parked_the_others_are_tracked() -> None:
    """More than may fail at once, parked a few at a time; all of them have spent again."""
    friends = people(MOST_AT_ONCE + 20)
    track(now=NOW)
    with poisoned("referrals_referral", "new.qualifying_spend > 21", moment="BEFORE UPDATE"):
        for some in (friends[:60], friends[60:]):
            record(*[fact(friend, f"q-{friend.account_id}", "1") for friend in some])
            track(now=NOW)
        assert len(parked("tracking")) == len(friends)
        dan = register("dan", referred_by=register("carol"))
        record(fact(dan, "p-dan", "20"), *[fact(friend, f"r-{friend.account_id}", "1") for friend in friends])
        track(now=NOW)
        assert Referral.objects.get(friend=dan).qualifying_spend.amount == 20
        assert set(Referral.objects.exclude(friend=dan).values_list("qualifying_spend", flat=True)) == {21}
    track(now=NOW)
    assert parked("tracking") == []
    assert set(Referral.objects.exclude(friend=dan).values_list("qualifying_spend", flat=True)) == {23}


def test_however_many_are_parked_newcomers_are_tracked() -> None:
    """More than may fail at once, parked a few at a time, before they were ever tracked."""
    alice, dan = register("alice"), register("dan")
    with poisoned("referrals_referral", f"new.referrer_id = {alice.pk}", moment="BEFORE UPDATE"):
        for some in (range(60), range(60, MOST_AT_ONCE + 20)):
            for number in some:
                register(f"friend-{number}", referred_by=alice)
            track(now=NOW)
        assert len(parked("tracking")) == MOST_AT_ONCE + 20
        register("carol", referred_by=dan)
        assert track(now=NOW) > 0
        assert Referral.objects.exclude(tracked_at=None).get().referrer == dan
    track(now=NOW)
    assert (parked("tracking"), Referral.objects.filter(tracked_at=None).count()) == ([], 0)


# Settlement


@pytest.mark.parametrize("chunk_size", [1, 4, 1000])
def test_the_other_customers_are_paid(chunk_size: int) -> None:
    friends = people(9)
    poor = friends[4].referral.referrer_id
    with poisoned("credits_coupon", f"new.customer_id = {poor}"):
        settled = settle(as_of=NOW, now=NOW, chunk_size=chunk_size)
        assert (settled.granted, len(paid())) == (8 * 2, 8)
        row = ParkedRow.objects.get()
        assert (row.kind, row.customer_id, row.tries) == ("settlement", poor, 1)
        settle(as_of=NOW, now=NOW)
        assert ParkedRow.objects.get().tries == 2
        assert untrue(NOW) == []
    settle(as_of=NOW, now=NOW)
    assert (len(paid()), parked("settlement")) == (9, [])


def test_however_many_are_parked_the_others_are_paid() -> None:
    """More than may fail at once, parked a few at a time."""
    friends = people(MOST_AT_ONCE + 20)
    latest = max(friend.pk for friend in friends)
    with poisoned("credits_coupon", f"new.friend_id <= {latest}"):
        settle(as_of=NOW, now=NOW, chunk_size=60)
        assert (len(parked("settlement")), paid()) == (len(friends), [])
        dan = register("dan", referred_by=register("carol"))
        record(fact(dan, "p-dan", "20", day(1, 20)))
        settle(as_of=NOW, now=NOW)
        assert paid() == ["carol"]
    settle(as_of=NOW, now=NOW)
    assert (len(paid()), parked("settlement")) == (len(friends) + 1, [])


def test_nothing_of_the_customer_is_half_done() -> None:
    friend = people(1)[0]
    record(fact(friend, "more", "100", day(1, 25)))
    with poisoned("credits_couponentry", "new.amount = 10.10"):
        settle(as_of=NOW, now=NOW)
    assert paid() == []
    assert not CouponEntry.objects.filter(coupon__kind__in=["payout", "bonus"]).exists()


def test_a_sweep_where_everything_fails_raises_and_parks_nobody() -> None:
    people(MOST_AT_ONCE + 1)
    with poisoned("credits_coupon", "true"), pytest.raises(InternalError):
        settle(as_of=NOW, now=NOW, due=[Due.PAYOUT])
    assert not ParkedRow.objects.exists()
    settle(as_of=NOW, now=NOW)
    assert len(paid()) == MOST_AT_ONCE + 1


# Staff


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss@example.com", account_id="boss", created_at=NOW))
    return client


def test_staff_see_what_is_parked_and_why(desk: Client, bob: User) -> None:
    with poisoned("billing_spendevent", "new.event_id = 'p'"):
        record(fact(bob, "p", "30"))
    index = desk.get(reverse("admin:index")).content.decode()
    assert "1 row is parked" in index
    listed = desk.get(reverse("admin:accounts_parkedrow_changelist")).content.decode()
    assert "billing p" in listed
    assert "a page of this row is damaged" in listed


def test_a_desk_with_nothing_parked_says_nothing(desk: Client) -> None:
    assert "parked" not in desk.get(reverse("admin:index")).content.decode().replace("Parked rows", "").replace(
        "parkedrow", ""
    )


def test_the_audit_tells_of_a_referral_that_is_untrue_for_more_than_a_day() -> None:
    friends = people(1)
    track(now=NOW)
    record(refund(friends[0], "r", "5", "p-friend-0"))
    with poisoned("referrals_referral", "true", moment="BEFORE UPDATE"):
        track(now=NOW)
        assert untrue(NOW + timedelta(hours=24)) == []
        assert untrue(NOW + timedelta(hours=24, seconds=1)) == ["referral_earns_what_its_spend_says"]
    track(now=NOW)


def untrue(now: datetime) -> list[str]:
    return [finding.invariant.name for finding in audit(now=now) if finding.rows]
