"""The plain reading itself: the worked examples of TERMS.md, and both sides of every border."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from tests import histories, history_shares
from tests.plain_reading import Programme, Terms, UnableToGiveBack
from tests.plain_words import (
    BEGIN,
    DAY,
    EXAMPLE_1,
    NOW,
    PRODUCTS,
    TICK,
    account,
    bob,
    codes,
    counts,
    debts,
    entries,
    on,
    payment,
    programme_with,
    redemption,
    reversal,
    rewards,
    spend,
    usd,
)

# ---------------------------------------------------------------------------------------------------- worked examples


def test_example_1_payout_and_bonus_fall_due() -> None:
    programme = programme_with(*EXAMPLE_1)
    row = bob(programme)
    assert (row["qualified_at"], row["payout_due_at"], row["bonus_due_at"]) == (on(20, 1), on(19, 2), on(1, 5))
    assert (row["qualifying_spend"], row["window_spend"], row["status"]) == (usd("21"), usd("21"), "qualified")
    programme.settle(on(19, 2) - TICK)
    assert rewards(programme) == []
    programme.settle(on(19, 2))
    assert rewards(programme) == [("payout", usd("20"), usd("20"))]
    programme.settle(on(1, 5) - TICK)
    assert len(rewards(programme)) == 1
    programme.settle(on(1, 5))
    assert rewards(programme)[1:] == [("bonus", usd("0.10"), usd("0.10"))]
    assert bob(programme)["status"] == "paid"


def test_example_2_products_that_earn_nothing_and_cash_alone() -> None:
    programme = programme_with(payment("c", "500", on(5, 1), "cdn"), payment("d", "500", on(6, 1), "domain"))
    programme.settle(NOW)
    assert rewards(programme) == []
    assert (bob(programme)["qualifying_spend"], bob(programme)["qualified_at"]) == (usd("0"), None)
    assert bob(programme)["status"] == "joined"
    spend(programme, payment("cash", "5", on(7, 1)))
    assert bob(programme)["qualifying_spend"] == usd("5")


def test_example_3_a_cent_short_until_february() -> None:
    programme = programme_with(payment("p", "20", on(5, 1)), reversal("r", "p", "0.01", at=on(10, 1)))
    assert bob(programme)["qualified_at"] is None
    spend(programme, payment("cent", "0.01", on(3, 2)))
    assert (bob(programme)["qualified_at"], bob(programme)["payout_due_at"]) == (on(3, 2), on(5, 3))


@pytest.mark.parametrize(
    ("amount", "bonus"),
    [
        ("2820", "280"),
        ("10000", "280"),
        ("2819.99", "280"),
        ("2819.94", "279.99"),
        ("120.05", "10.01"),
        ("20.04", "0"),
        ("20.05", "0.01"),
        ("120.04", "10.00"),
        ("120.14", "10.01"),
        ("120.15", "10.02"),
    ],
)
def test_examples_4_and_6_bonus(amount: str, bonus: str) -> None:
    programme = programme_with(payment("p", amount, on(5, 1)))
    programme.settle(on(1, 5))
    assert bob(programme)["payout_granted"] == usd("20")
    assert bob(programme)["bonus_granted"] == usd(bonus)
    assert len(rewards(programme)) == (2 if usd(bonus) else 1)


def test_example_5_spend_after_the_window() -> None:
    programme = programme_with(payment("late", "20", on(31, 12)))
    assert bob(programme)["payout_due_at"] == on(30, 1, 2027)
    programme.settle(on(30, 1, 2027))
    assert rewards(programme) == [("payout", usd("20"), usd("20"))]


def test_example_5_window_edge() -> None:
    programme = programme_with(payment("at", "30", on(1, 4)))
    assert (bob(programme)["qualifying_spend"], bob(programme)["window_spend"]) == (usd("30"), usd("0"))
    spend(programme, payment("before", "30", on(1, 4) - TICK))
    assert bob(programme)["window_spend"] == usd("30")


def test_example_7_debt_and_dispute_won() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(1, 5))
    outcome = programme.import_redemptions([redemption("r", "15", on(2, 5))], NOW)
    assert counts(outcome) == (1, 0, 0, 0)
    spend(programme, reversal("cb", "p12", "12", "chargeback", on(3, 5)))
    programme.hold("bob")
    programme.settle(on(3, 5))
    assert bob(programme)["qualifying_spend"] == usd("9")
    assert debts(programme) == [("payout", usd("15"), usd("15"))]
    assert rewards(programme) == [("payout", usd("20"), usd("0")), ("bonus", usd("0.10"), usd("0"))]
    assert [coupon["revoked"] for coupon in programme.coupons() if coupon["friend_id"]] == [usd("5"), usd("0.10")]
    assert (bob(programme)["payout_granted"], bob(programme)["bonus_granted"]) == (usd("0"), usd("0"))
    assert bob(programme)["status"] == "held"

    spend(programme, reversal("won", "p12", "12", "chargeback_reversal", on(4, 6)))
    programme.settle(on(4, 6))
    assert len(rewards(programme)) == 2, "nothing is granted while the hold is open"
    programme.release("bob")
    programme.settle(on(4, 6))
    assert debts(programme) == [("payout", usd("15"), usd("0"))]
    assert rewards(programme)[2:] == [("payout", usd("5"), usd("5")), ("bonus", usd("0.10"), usd("0.10"))]
    assert bob(programme)["payout_granted"] == usd("20")


def test_example_7_without_the_dispute_is_clawed_back() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(1, 5))
    spend(programme, reversal("cb", "p12", "12", "chargeback", on(3, 5)))
    assert bob(programme)["status"] == "paid"
    programme.settle(on(3, 5))
    assert bob(programme)["status"] == "clawed_back"


def test_example_8_let_go() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(19, 2))
    programme.import_redemptions([redemption("r", "5", on(20, 2))], NOW)
    programme.hold("bob")  # keeps the bonus of $0.10 out of the example
    programme.settle(on(19, 2) + 180 * DAY)
    assert rewards(programme) == [("payout", usd("20"), usd("0"))]
    spend(programme, reversal("cb", "p12", "12", "chargeback", on(1, 10)))
    programme.settle(on(1, 10))
    assert debts(programme) == [("payout", usd("5"), usd("5"))]
    assert (bob(programme)["payout_granted"], bob(programme)["payout_let_go"]) == (usd("15"), usd("15"))
    spend(programme, reversal("won", "p12", "12", "chargeback_reversal", on(2, 10)))
    programme.release("bob")
    programme.settle(on(2, 10))
    assert debts(programme) == [("payout", usd("5"), usd("0"))]
    assert [reward for reward in rewards(programme) if reward[0] == "payout"] == [("payout", usd("20"), usd("0"))]
    assert (bob(programme)["payout_granted"], bob(programme)["payout_let_go"]) == (usd("20"), usd("15"))
    assert bob(programme)["status"] == "paid"
    spend(programme, reversal("again", "p12", "12", "chargeback", on(3, 10)))
    programme.settle(on(3, 10))
    assert debts(programme)[1] == ("payout", usd("5"), usd("5")), "what was let go is not let go twice"


def test_example_9_refunds_above_the_net() -> None:
    programme = programme_with(payment("p", "10", on(5, 1)))
    outcome = programme.import_spend([reversal("a", "p", "5"), reversal("b", "p", "9"), reversal("c", "p", "5")], NOW)
    assert counts(outcome) == (2, 0, 0, 1)
    assert codes(outcome) == [(1, "exceeds")]
    assert bob(programme)["qualifying_spend"] == usd("0")


# ------------------------------------------------------------------------------------------------------------- borders


@pytest.mark.parametrize(("amount", "qualified"), [("19.99", False), ("20", True), ("20.01", True)])
def test_threshold(amount: str, qualified: bool) -> None:
    programme = programme_with(payment("p", amount, on(5, 1)))
    assert (bob(programme)["qualified_at"] is not None) is qualified
    programme.settle(NOW)
    assert bool(rewards(programme)) is qualified


def test_qualified_at_breaks_ties_by_event_id_and_ignores_arrival() -> None:
    programme = programme_with(payment("z", "15", on(7, 1)), payment("b", "10", on(5, 1)), payment("a", "10", on(5, 1)))
    assert bob(programme)["qualified_at"] == on(5, 1)
    spend(programme, reversal("r", "a", "0.01"))
    assert bob(programme)["qualified_at"] == on(7, 1)


def test_late_payment_tops_the_bonus_up() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(1, 5))
    spend(programme, payment("late", "100", on(1, 4) - TICK))
    programme.settle(on(2, 5))
    programme.settle(on(2, 5))
    assert rewards(programme)[1:] == [("bonus", usd("0.10"), usd("0.10")), ("bonus", usd("10"), usd("10"))]
    spend(programme, reversal("r", "late", "1"))
    programme.settle(on(3, 5))
    assert rewards(programme)[1:] == [("bonus", usd("0.10"), usd("0.10")), ("bonus", usd("10"), usd("9.90"))]


def test_coupon_is_usable_until_the_microsecond_before_it_expires() -> None:
    programme = programme_with(*EXAMPLE_1)
    issued = on(19, 2)
    programme.settle(issued)
    rows = [
        redemption("early", "1", issued - TICK),
        redemption("first", "1", issued),
        redemption("last", "1", issued + 180 * DAY - TICK),
        redemption("late", "1", issued + 180 * DAY),
        redemption("much", "18.01", issued),
    ]
    outcome = programme.import_redemptions(rows, NOW)
    assert codes(outcome) == [(0, "insufficient"), (3, "insufficient"), (4, "insufficient")]
    programme.settle(issued + 180 * DAY - TICK)
    assert rewards(programme)[0] == ("payout", usd("20"), usd("18"))
    programme.settle(issued + 180 * DAY)
    assert rewards(programme)[0] == ("payout", usd("20"), usd("0"))
    assert entries(programme, "payout")[-1] == ("EXPIRE", usd("-18"), issued + 180 * DAY)


def test_redemption_after_the_sweep_finds_nothing_though_it_happened_before() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(19, 2))
    programme.settle(on(1, 1, 2027))
    outcome = programme.import_redemptions([redemption("r", "1", on(20, 2))], NOW)
    assert codes(outcome) == [(0, "insufficient")]


def test_trial_and_welcome() -> None:
    programme = Programme([Terms()], PRODUCTS)
    rows = [account("alice", account_type="enterprise"), account("bob", "alice", account_type="enterprise")]
    programme.import_accounts([*rows, account("cem", "bob")], NOW)
    given = [(coupon["account_id"], coupon["kind"], coupon["amount"]) for coupon in programme.coupons()]
    assert sorted(given) == [
        ("alice", "trial", usd("1200")),
        ("bob", "trial", usd("1200")),
        ("bob", "welcome", usd("10")),
        ("cem", "trial", usd("300")),
        ("cem", "welcome", usd("5")),
    ]
    spans = {(coupon["kind"], coupon["expires_at"] - coupon["issued_at"]) for coupon in programme.coupons()}
    assert spans == {("trial", 365 * DAY), ("welcome", 180 * DAY)}
    programme.import_redemptions([redemption("trial is not spent", "6", BEGIN, "cem")], NOW)
    assert entries(programme, "trial", "cem") == [("ISSUE", usd("300"), BEGIN)]


def test_soonest_expiring_credit_is_spent_first() -> None:
    programme = programme_with(payment("p", "120", on(5, 1)))
    programme.settle(on(10, 2))
    programme.settle(on(1, 5))
    programme.import_redemptions([redemption("r", "21", on(2, 5))], NOW)
    assert rewards(programme) == [("payout", usd("20"), usd("0")), ("bonus", usd("10"), usd("9"))]


def test_refusal_revokes_welcome_credit_and_lifting_restores_the_reward_alone() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(1, 5))
    programme.import_redemptions([redemption("r", "2", on(2, 5), "bob")], NOW)
    programme.refuse("bob", on(3, 5))
    assert entries(programme, "welcome", "bob")[-1] == ("REVOKE", usd("-3"), on(3, 5))
    assert bob(programme)["status"] == "refused"
    programme.settle(on(3, 5))
    assert rewards(programme) == [("payout", usd("20"), usd("0")), ("bonus", usd("0.10"), usd("0"))]
    programme.give_back("r", usd("1"), on(4, 5))
    assert entries(programme, "welcome", "bob")[-2:] == [
        ("RETURN", usd("1"), on(4, 5)),
        ("REVOKE", usd("-1"), on(4, 5)),
    ]
    programme.lift("bob")
    assert bob(programme)["status"] == "qualified"
    programme.settle(on(5, 5))
    assert rewards(programme)[2:] == [("payout", usd("20"), usd("20")), ("bonus", usd("0.10"), usd("0.10"))]
    assert [entry[0] for entry in entries(programme, "welcome", "bob")][-1] == "REVOKE"


@pytest.mark.parametrize(("wait", "revoked"), [(180 * DAY - TICK, "5"), (180 * DAY, "0")])
def test_refusal_leaves_expired_welcome_credit_to_its_expiry(wait: timedelta, revoked: str) -> None:
    programme = programme_with()
    programme.refuse("bob", BEGIN + wait)
    [welcome] = [coupon for coupon in programme.coupons() if coupon["kind"] == "welcome"]
    assert welcome["revoked"] == usd(revoked)


def test_returned_credit_settles_the_debt_of_its_reward_first_and_expires_with_its_coupon() -> None:
    programme = programme_with(*EXAMPLE_1)
    programme.settle(on(19, 2))
    programme.import_redemptions([redemption("r", "15", on(20, 2))], NOW)
    spend(programme, reversal("cb", "p12", "12", "chargeback"))
    programme.settle(on(21, 2))
    programme.give_back("r", usd("10"), on(22, 2))
    assert debts(programme) == [("payout", usd("15"), usd("5"))]
    assert rewards(programme) == [("payout", usd("20"), usd("0"))]
    spend(programme, reversal("won", "p12", "12", "chargeback_reversal"))
    programme.settle(on(23, 2))
    assert rewards(programme)[1:] == [("payout", usd("15"), usd("15"))]
    programme.give_back("r", usd("2"), on(23, 2))
    assert rewards(programme)[0] == ("payout", usd("20"), usd("2"))
    programme.give_back("r", usd("3"), on(19, 2) + 180 * DAY)
    [first, _] = [coupon for coupon in programme.coupons() if coupon["kind"] == "payout"]
    assert (first["expired"], first["remaining"], first["redeemed"]) == (usd("3"), usd("2"), usd("0"))
    with pytest.raises(UnableToGiveBack):
        programme.give_back("r", usd("0.01"), on(23, 2))


def test_returned_credit_goes_back_in_reverse_order_of_use() -> None:
    programme = programme_with(payment("p", "120", on(5, 1)))
    programme.settle(on(10, 2))
    programme.settle(on(1, 5))
    programme.import_redemptions([redemption("r", "25", on(2, 5))], NOW)
    programme.give_back("r", usd("6"), on(3, 5))
    assert rewards(programme) == [("payout", usd("20"), usd("1")), ("bonus", usd("10"), usd("10"))]


def test_payouts_are_granted_before_bonuses_and_debts_settled_oldest_first() -> None:
    programme = programme_with(payment("p", "120", on(5, 1)))
    programme.import_accounts([account("cem", "alice", on(2, 1))], NOW)
    programme.settle(on(1, 5))
    programme.import_redemptions([redemption("r", "30", on(2, 5))], NOW)
    spend(programme, reversal("r", "p", "120"))
    programme.settle(on(3, 5))
    assert debts(programme) == [("payout", usd("20"), usd("20")), ("bonus", usd("10"), usd("10"))]
    spend(programme, payment("cem pays", "70", on(4, 1), account_id="cem"))
    programme.settle(on(4, 5))
    assert debts(programme) == [("payout", usd("20"), usd("0")), ("bonus", usd("10"), usd("5"))]
    assert [reward for reward in rewards(programme) if reward[2]] == []


def test_a_referral_keeps_the_version_in_force_at_registration() -> None:
    second = Terms(
        starts_at=on(1, 2), payout=usd("30"), threshold=usd("10"), payout_days=10, bonus_rate=usd("0.2"), cap=usd("50")
    )
    programme = programme_with(terms=[second, Terms()])
    programme.import_accounts([account("cem", "alice", on(1, 2) - TICK), account("dan", "alice", on(1, 2))], NOW)
    for friend in ("cem", "dan"):
        spend(programme, payment(f"{friend} pays", "15", on(3, 2), account_id=friend))
        spend(programme, payment(f"{friend} pays much", "500", on(4, 2), account_id=friend))
    programme.settle(NOW)
    granted = {row["friend_id"]: (row["payout_granted"], row["bonus_granted"]) for row in programme.referrals()}
    assert granted == {"bob": (0, 0), "cem": (usd("20"), usd("49.50")), "dan": (usd("30"), usd("20"))}


# ----------------------------------------------------------------------------------------------- in whatever is drawn


@settings(max_examples=100, deadline=None)
@given(histories.histories())
def test_what_holds_after_every_settlement(steps: list[histories.Step]) -> None:
    programme = histories.programme()
    for step in steps:
        histories.apply(programme, step)
        if step.kind != "settle":
            continue
        settled = (programme.coupons(), programme.entries(), programme.debts(), programme.referrals())
        programme.settle(step.at)
        assert settled == (programme.coupons(), programme.entries(), programme.debts(), programme.referrals())
        open_accounts = set(programme.open_accounts())
        for friend in programme.referrals():
            # From who has closed nothing is taken back any more.
            if friend["referrer_id"] in open_accounts:
                assert_reward_adds_up(programme, friend)


def assert_reward_adds_up(programme: Programme, friend: dict[str, Any]) -> None:
    """No referral keeps more than its cap, nor anything of what it has not earned."""
    kept = sum(friend[f"{kind}_granted"] - friend[f"{kind}_let_go"] for kind in ("payout", "bonus"))
    registered = next(
        coupon["issued_at"] for coupon in programme.coupons() if coupon["account_id"] == friend["friend_id"]
    )
    terms = histories.terms_at(registered)
    assert 0 <= kept <= terms.cap
    if friend["refused"] or friend["qualifying_spend"] < terms.threshold:
        assert kept == 0


def test_histories_come_to_the_settlements_that_matter() -> None:
    found = history_shares.shares(300)
    wanted = ("payout granted", "bonus granted", "clawback revoke", "let go", "debt", "debt settled by grant")
    for name in (*wanted, "dispute won regrant", "waiting applied", "waiting refused"):
        assert found[name] >= 5, name
