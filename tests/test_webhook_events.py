"""What webhooks tell of: each thing that happens once, in the transaction in which it happened, under its number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from djmoney.money import Money
from pytest_django import Settings

from accounts.models import User, WebhookEndpoint, WebhookEvent
from accounts.operations import add_endpoint, number_webhooks, switch_endpoint_off, switch_endpoint_on
from accounts.operations.webhooks.delivery import body_of
from accounts.tasks import deliver_webhooks
from credits.models import Coupon
from credits.operations import NewCoupon, give_back, issue_coupons, redeem, remind_expiring
from referrals.models import Clawback, FraudFlag, Referral, Reward
from referrals.operations import (
    close_account,
    disqualify,
    hooks,
    hooks_sql,
    lift_refusal,
    open_flag,
    refuse,
    release_flag,
    settle,
    settlement,
    track,
)
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, refund, register
from tests.receiving import ALL

pytestmark = pytest.mark.django_db

QUALIFIED, PAYOUT_DUE, BONUS_DUE = day(1, 20), day(2, 19), day(5, 1)


@pytest.fixture(autouse=True)
def endpoint() -> WebhookEndpoint:
    """Nobody is sent anything here; that somebody wants to know is what makes the events be written."""
    endpoint, _ = add_endpoint(url="https://hooks.example.com/", events=ALL, actor=None, now=JANUARY)
    return endpoint


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("staff@example.com", is_staff=True, created_at=JANUARY)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """Worked example 1: payout due on 19 February, bonus on 1 May."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "p1", "12", day(1, 5)), fact(bob, "p2", "9", QUALIFIED))
    return bob


def referral_of(friend: User) -> Referral:
    return Referral.objects.get(friend=friend)


def told() -> list[str]:
    """The types that there are to tell, in their order."""
    return list(WebhookEvent.objects.order_by("pk").values_list("type", flat=True))


def payloads(event_type: str) -> list[dict[str, Any]]:
    return list(WebhookEvent.objects.filter(type=event_type).order_by("pk").values_list("payload", flat=True))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Each type


def test_friend_who_registers_is_a_referral_created(alice: User) -> None:
    bob = register("bob", referred_by=alice, at=day(1, 3))
    (created,) = payloads("referral.created")
    assert instant(created.pop("registered_at")) == day(1, 3)
    assert instant(created.pop("bonus_due_at")) == day(1, 3) + timedelta(days=120)
    assert created == {"referral_id": referral_of(bob).pk, "friend_id": "bob", "referrer_id": "alice"}


def test_whoever_nobody_referred_is_no_referral(alice: User) -> None:
    assert told() == []


def test_friend_who_has_spent_enough_has_qualified(bob: User) -> None:
    track(now=NOW)
    (qualified,) = payloads("referral.qualified")
    assert instant(qualified["qualified_at"]) == QUALIFIED
    assert instant(qualified["payout_due_at"]) == PAYOUT_DUE
    assert (qualified["qualifying_spend"], qualified["held"]) == ("21.00", False)


def test_friend_with_a_cent_too_little_has_not(alice: User) -> None:
    record(fact(register("cem", referred_by=alice), "p", "19.99"))
    track(now=NOW)
    assert payloads("referral.qualified") == []


def test_friend_qualifies_once_and_for_all(bob: User) -> None:
    track(now=NOW)
    record(refund(bob, "r", "9", "p2"))
    track(now=NOW)
    record(fact(bob, "p3", "50", day(3, 1)))
    track(now=NOW)
    assert len(payloads("referral.qualified")) == 1


def test_refused_friend_qualifies_when_the_refusal_is_lifted(bob: User, staff: User) -> None:
    by: dict[str, Any] = {"referral_id": referral_of(bob).pk, "actor": staff, "now": NOW}
    refuse(reason="The same person.", **by)
    track(now=NOW)
    assert payloads("referral.qualified") == []
    lift_refusal(reason="A cousin.", **by)
    assert len(payloads("referral.qualified")) == 1


def test_reward_is_granted_with_its_coupon(bob: User) -> None:
    settle(as_of=BONUS_DUE, now=NOW)
    payout, bonus = payloads("reward.granted")
    assert (payout["kind"], payout["amount"], payout["currency"], payout["n"]) == ("payout", "20.00", "USD", 1)
    assert (bonus["kind"], bonus["amount"]) == ("bonus", "0.10")
    assert instant(payout["granted_at"]) == BONUS_DUE
    assert payout["coupon_id"] == Coupon.objects.get(kind="payout").pk
    assert payout["reward_id"] == Reward.objects.get(kind="payout").pk
    assert instant(payout["expires_at"]) == BONUS_DUE + timedelta(days=180)


def test_settlement_of_long_ago_is_told_all_the_same(bob: User) -> None:
    """History is not mailed; whoever keeps books by the events needs all of it."""
    settle(as_of=PAYOUT_DUE, now=NOW)
    assert len(payloads("reward.granted")) == 1


def test_reward_that_is_not_earned_after_all_is_clawed_back(alice: User, bob: User) -> None:
    settle(as_of=PAYOUT_DUE, now=NOW)
    whole = {"customer_id": alice.pk, "amount": Money("15", "USD"), "occurred_at": day(3, 1), "now": NOW}
    redeem(source="console", redemption_id="order", **whole)  # type: ignore[arg-type]
    record(chargeback(bob, "back", "12", "p1"))
    settle(as_of=day(3, 2), now=NOW)
    (taken,) = payloads("reward.clawed_back")
    assert (taken["amount"], taken["revoked"], taken["let_go"], taken["debt"]) == ("20.00", "5.00", "0.00", "15.00")
    assert taken["clawback_id"] == Clawback.objects.get().pk
    record(dispute_won(bob, "won", "12", "p1"))
    settle(as_of=day(3, 3), now=NOW)
    again = payloads("reward.granted")[-1]
    assert (again["n"], again["amount"], again["debts_settled"]) == (2, "20.00", "15.00")


def test_grant_that_a_debt_swallows_has_no_coupon(alice: User, bob: User) -> None:
    """TERMS, example 8: of $20, $5 spent and $15 expired."""
    settle(as_of=PAYOUT_DUE, now=NOW)
    whole = {"customer_id": alice.pk, "amount": Money("5", "USD"), "occurred_at": day(3, 1), "now": NOW}
    redeem(source="console", redemption_id="order", **whole)  # type: ignore[arg-type]
    settle(as_of=day(9, 1), now=NOW)
    record(chargeback(bob, "back", "12", "p1"))
    settle(as_of=day(9, 2), now=NOW)
    payout, bonus = payloads("reward.clawed_back")
    assert (payout["let_go"], payout["debt"], bonus["revoked"]) == ("15.00", "5.00", "0.10")
    record(dispute_won(bob, "won", "12", "p1"))
    settle(as_of=day(9, 3), now=NOW)
    swallowed = next(one for one in payloads("reward.granted") if (one["kind"], one["n"]) == ("payout", 2))
    assert (swallowed["amount"], swallowed["debts_settled"]) == ("5.00", "5.00")
    assert (swallowed["coupon_id"], swallowed["expires_at"]) == (None, None)


def test_settling_again_tells_nothing_new(bob: User) -> None:
    settle(as_of=BONUS_DUE, now=NOW)
    before = told()
    settle(as_of=BONUS_DUE, now=NOW)
    settle(as_of=BONUS_DUE, now=NOW + timedelta(hours=1))
    assert told() == before


def test_flag_is_opened_and_closed(bob: User, staff: User) -> None:
    by: dict[str, Any] = {"actor": staff, "reason": "bob@example.com and carol share a card", "now": NOW}
    flag = open_flag(referral_id=referral_of(bob).pk, rule="card", severity="hold", evidence={"card": "4242"}, **by)
    release_flag(flag_id=flag.pk, **by)
    (opened,), (closed,) = payloads("flag.opened"), payloads("flag.closed")
    assert (opened["flag_id"], opened["rule"], opened["severity"]) == (flag.pk, "card", "hold")
    assert (closed["flag_id"], closed["outcome"]) == (flag.pk, "released")
    assert instant(closed["closed_at"]) == NOW


def test_note_that_becomes_a_hold_is_told_of_again(bob: User) -> None:
    by: dict[str, Any] = {"referral_id": referral_of(bob).pk, "rule": "card", "evidence": {}, "actor": None}
    for severity in ("note", "note", "hold", "hold", "note"):
        open_flag(severity=severity, reason="Odd.", now=NOW, **by)
    assert [one["severity"] for one in payloads("flag.opened")] == ["note", "hold"]


def test_refusal_closes_each_open_flag(bob: User, staff: User) -> None:
    for rule in ("card", "device"):
        open_flag(
            referral_id=referral_of(bob).pk, rule=rule, severity="hold", evidence={}, actor=None, reason="?", now=NOW
        )
    refuse(referral_id=referral_of(bob).pk, actor=staff, reason="Fraud.", now=NOW)
    assert [(one["rule"], one["outcome"]) for one in payloads("flag.closed")] == [
        ("card", "refused"), ("device", "refused"),
    ]  # fmt: skip
    assert not FraudFlag.objects.filter(closed_at=None).exists()


def test_disqualification_closes_the_flags_of_its_friends(alice: User, bob: User, staff: User) -> None:
    open_flag(
        referral_id=referral_of(bob).pk, rule="card", severity="note", evidence={}, actor=None, reason="?", now=NOW
    )
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", now=NOW)
    assert [one["outcome"] for one in payloads("flag.closed")] == ["refused"]


# Coupons


def goodwill(customer: User, expires_at: datetime) -> Coupon:
    source = f"goodwill:{customer.pk}:{expires_at}"
    coupon = NewCoupon(customer.pk, "goodwill", None, source, Decimal("20"), JANUARY, expires_at)
    return Coupon.objects.get(pk=issue_coupons(coupons=[coupon], now=JANUARY)[source])


def test_coupon_that_expires_is_told_of_with_what_was_left(alice: User, bob: User) -> None:
    settle(as_of=PAYOUT_DUE, now=NOW)
    settle(as_of=PAYOUT_DUE + timedelta(days=180) - timedelta(seconds=1), now=NOW)
    assert [one["kind"] for one in payloads("coupon.expired")] == ["welcome"]
    settle(as_of=PAYOUT_DUE + timedelta(days=180), now=NOW)
    welcome, payout = payloads("coupon.expired")
    assert (payout["amount"], payout["account_id"], payout["friend_id"]) == ("20.00", "alice", "bob")
    assert instant(payout["expired_at"]) == PAYOUT_DUE + timedelta(days=180)
    assert welcome["referral_id"] == payout["referral_id"] == referral_of(bob).pk
    assert (welcome["account_id"], welcome["friend_id"]) == ("bob", None)


def test_what_comes_back_to_an_expired_coupon_expires_at_once_and_is_told_of(alice: User) -> None:
    goodwill(alice, day(6, 1))
    whole = {"customer_id": alice.pk, "amount": Money("15", "USD"), "occurred_at": day(5, 1), "now": NOW}
    redeem(source="console", redemption_id="order", **whole)  # type: ignore[arg-type]
    settle(as_of=day(6, 1), now=NOW)
    give_back(
        source="console",
        redemption_id="order",
        return_id="back",
        amount=Money("4", "USD"),
        occurred_at=day(6, 2),
        now=NOW + timedelta(hours=1),
    )
    assert [one["amount"] for one in payloads("coupon.expired")] == ["5.00", "4.00"]


def test_account_that_closes_tells_of_what_had_expired(alice: User) -> None:
    goodwill(alice, day(6, 1))
    close_account(user_id=alice.pk, now=NOW)
    assert [one["amount"] for one in payloads("coupon.expired")] == ["20.00"]


@pytest.mark.parametrize(
    ("before", "days"),
    [
        (timedelta(days=14, seconds=1), []),
        (timedelta(days=14), [14]),
        (timedelta(days=3, seconds=1), [14]),
        (timedelta(days=3), [3]),
        (timedelta(seconds=1), [3]),
        (timedelta(), []),
    ],
)
def test_coupon_that_expires_soon_is_told_of(alice: User, before: timedelta, days: list[int]) -> None:
    """To whomever no mail goes, too: alice has no confirmed address."""
    coupon = goodwill(alice, day(6, 1))
    for _ in range(2):
        remind_expiring(now=day(6, 1) - before)
    told_of = [one for one in payloads("coupon.expiring") if one["coupon_id"] == coupon.pk]
    assert [one["days"] for one in told_of] == days
    assert {one["remaining"] for one in told_of} <= {"20.00"}


def test_frozen_credit_is_not_said_to_expire_soon(alice: User, staff: User) -> None:
    goodwill(alice, day(6, 1))
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", now=day(5, 1))
    remind_expiring(now=day(5, 30))
    assert payloads("coupon.expiring") == []


# Whoever wants to know, and nobody else


def test_nothing_is_written_while_no_endpoint_is_on(endpoint: WebhookEndpoint, bob: User) -> None:
    switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    before = told()
    settle(as_of=BONUS_DUE, now=NOW)
    assert told() == before
    switch_endpoint_on(endpoint_id=endpoint.pk)
    record(refund(bob, "r", "9", "p2"))
    settle(as_of=day(5, 2), now=NOW)
    assert told()[len(before) :] == ["reward.clawed_back"] * 2, "only what happens from then on"


@pytest.mark.parametrize("wanted", ALL)
def test_nothing_is_written_that_no_endpoint_wants(endpoint: WebhookEndpoint, staff: User, wanted: str) -> None:
    switch_endpoint_off(endpoint_id=endpoint.pk, now=JANUARY)
    add_endpoint(url="https://one.example.com/", events=[wanted], actor=None, now=JANUARY)
    let_everything_happen(staff)
    assert set(told()) == {wanted}


STATEMENTS = [name for name in vars(hooks_sql) if name.replace("_", ".", 1).lower() in ALL]


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a plan reads of tables."""
    if "Relation Name" in plan and "Scan" in plan["Node Type"]:
        yield plan
    for part in plan.get("Plans", []):
        yield from scans(part)


def read_by(statement: str, bob: User) -> set[str]:
    """Return the tables that a statement reads of, as it runs."""
    everything: dict[str, Any] = {
        "friends": f"{{{bob.pk}}}", "referrals": f"{{{referral_of(bob).pk}}}", "coupons": "{1}", "flags": "{1}",
        "flag": 1, "days": 14, "after": JANUARY, "until": NOW, "at": NOW, "now": NOW,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", everything)
        (found,) = cursor.fetchone()
    ((plan,),) = [json.loads(found) if isinstance(found, str) else found]
    return {scan["Relation Name"] for scan in scans(plan["Plan"]) if scan["Actual Loops"]}


@pytest.mark.parametrize("name", STATEMENTS)
def test_where_nobody_wants_to_know_a_statement_reads_nothing_else(
    endpoint: WebhookEndpoint, bob: User, name: str
) -> None:
    assert len(STATEMENTS) == len(ALL)
    statement = getattr(hooks_sql, name)
    assert len(read_by(statement, bob)) > 1, "control: with somebody who does, it reads more"
    switch_endpoint_off(endpoint_id=endpoint.pk, now=NOW)
    assert read_by(statement, bob) == {"accounts_webhookendpoint"}


def test_everything_is_written_that_is_wanted(staff: User) -> None:
    let_everything_happen(staff)
    assert set(told()) == set(ALL)


def let_everything_happen(staff: User) -> None:
    alice = register("alice")
    bob = register("bob", referred_by=alice)
    record(fact(bob, "p1", "12", day(1, 5)), fact(bob, "p2", "9", QUALIFIED))
    settle(as_of=BONUS_DUE, now=NOW)
    remind_expiring(now=BONUS_DUE + timedelta(days=178))
    open_flag(
        referral_id=referral_of(bob).pk, rule="card", severity="hold", evidence={}, actor=None, reason="?", now=NOW
    )
    refuse(referral_id=referral_of(bob).pk, actor=staff, reason="Fraud.", now=NOW)
    settle(as_of=NOW, now=NOW)


# What is said


def test_events_name_nobody(staff: User) -> None:
    """Account ids, codes, amounts and instants: no address, name, reason, evidence or card."""
    User.objects.filter(pk=register("carol").pk).update(public_first_name="Carolina")
    let_everything_happen(staff)
    said = json.dumps(list(WebhookEvent.objects.values_list("key", "stream", "payload")))
    for word in ("@", "Carolina", "Fraud", "evidence", "reason", "4242"):
        assert word not in said


def test_examples_of_the_documentation_have_the_fields_of_the_events(staff: User) -> None:
    let_everything_happen(staff)
    page = (Path(__file__).parent.parent / "docs" / "webhooks.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert [one["type"] for one in examples] == ALL
    for one in examples:
        assert one.keys() == json.loads(body_of(WebhookEvent.objects.filter(type=one["type"])[0])).keys()
        for payload in payloads(one["type"]):
            assert one["data"].keys() == payload.keys()
            assert {name for name, value in payload.items() if isinstance(value, str)} <= {
                name for name, value in one["data"].items() if isinstance(value, str)
            }


def test_amounts_are_plain_decimals_and_times_have_their_offset(staff: User) -> None:
    let_everything_happen(staff)
    for payload in WebhookEvent.objects.values_list("payload", flat=True):
        for name, value in payload.items():
            if name.endswith("_at") and value is not None:
                assert instant(value).utcoffset() == timedelta()
            if name in ("amount", "revoked", "let_go", "debt", "remaining", "debts_settled", "qualifying_spend"):
                assert Decimal(value).as_tuple().exponent == -2


# In one transaction with what it tells of


def test_what_is_undone_is_not_told_of(bob: User) -> None:
    before = told()

    @transaction.atomic
    def undone() -> None:
        settle(as_of=BONUS_DUE, now=NOW)
        open_flag(
            referral_id=referral_of(bob).pk, rule="card", severity="hold", evidence={}, actor=None, reason="?", now=NOW
        )
        remind_expiring(now=BONUS_DUE + timedelta(days=178))
        assert {"reward.granted", "flag.opened", "coupon.expiring"} <= set(told())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert told() == before


def test_customer_whose_settlement_fails_is_not_told_of(bob: User) -> None:
    """A fault after it was written takes the event with the grant."""
    announce = hooks.announce_settlement

    def announce_and_fail(**what: Any) -> None:
        announce(**what)
        assert "reward.granted" in told()
        raise ArithmeticError

    with patch.object(settlement, "announce_settlement", announce_and_fail):
        settle(as_of=BONUS_DUE, now=NOW)
    assert "reward.granted" not in told()
    assert not Reward.objects.exists()
    settle(as_of=BONUS_DUE, now=NOW)
    assert "reward.granted" in told()


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_written_did_not_happen(bob: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_webhookevent ADD CONSTRAINT none CHECK (type <> 'flag.opened')")
    try:
        with pytest.raises(Exception, match="none"):
            open_flag(
                referral_id=referral_of(bob).pk, rule="r", severity="hold", evidence={}, actor=None, reason="?", now=NOW
            )
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE accounts_webhookevent DROP CONSTRAINT none")
    assert not FraudFlag.objects.exists()


# Numbers


def numbers(stream: str) -> list[tuple[int | None, str]]:
    events = WebhookEvent.objects.filter(stream=stream, sequence__isnull=False).order_by("sequence")
    return list(events.values_list("sequence", "type"))


def test_events_of_a_referral_are_numbered_from_one_in_their_order(bob: User) -> None:
    cem = register("cem", referred_by=User.objects.get(account_id="alice"))
    settle(as_of=BONUS_DUE, now=NOW)
    assert number_webhooks(now=NOW) == 5
    assert numbers(f"referral:{referral_of(bob).pk}") == [
        (1, "referral.created"), (2, "referral.qualified"), (3, "reward.granted"), (4, "reward.granted"),
    ]  # fmt: skip
    assert numbers(f"referral:{referral_of(cem).pk}") == [(1, "referral.created")]
    record(refund(bob, "r", "9", "p2"))
    settle(as_of=day(5, 2), now=NOW)
    assert number_webhooks(now=NOW) == 2
    assert [number for number, _ in numbers(f"referral:{referral_of(bob).pk}")] == [1, 2, 3, 4, 5, 6]


def test_coupon_without_a_referral_is_numbered_with_its_account(alice: User) -> None:
    goodwill(alice, day(6, 1))
    settle(as_of=day(6, 1), now=NOW)
    (expired,) = payloads("coupon.expired")
    assert expired["referral_id"] is None
    number_webhooks(now=NOW)
    assert numbers("account:alice") == [(1, "coupon.expired")]


@pytest.fixture
def one_by_one() -> Iterator[None]:
    with patch("accounts.operations.webhooks.numbering.CHUNK", 2):
        yield


@pytest.mark.usefixtures("one_by_one")
def test_numbers_go_on_from_chunk_to_chunk(bob: User) -> None:
    settle(as_of=BONUS_DUE, now=NOW)
    assert number_webhooks(now=NOW) == 4
    assert [number for number, _ in numbers(f"referral:{referral_of(bob).pk}")] == [1, 2, 3, 4]


def test_each_type_is_one_statement_over_all_that_happened(alice: User) -> None:
    """However many friends there are."""

    def statements(first: int, last: int) -> int:
        friends = [register(f"f{n}", referred_by=alice) for n in range(first, last)]
        record(*(fact(one, f"p-{one.pk}", "30", day(1, 5)) for one in friends))
        track(now=NOW)
        with CaptureQueriesContext(connection) as captured:
            settle(as_of=NOW, now=NOW + timedelta(seconds=last))
        return len([one for one in captured if "webhookevent" in one["sql"]])

    assert statements(0, 1) == statements(1, 40) <= 4


def test_job_numbers_and_sends(bob: User, settings: Settings) -> None:
    """Nobody is at the address: it is tried, and kept."""
    assert deliver_webhooks().startswith("numbered=1 delivered=0 failed=1")
