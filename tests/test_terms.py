"""The formulas of TERMS.md: its worked examples, both sides of every border, and two versions side by side."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.terms import (
    Payment,
    Spend,
    TakenBack,
    bonus_due_at,
    bonus_earned,
    claw_back,
    net,
    payout_due_at,
    payout_earned,
    spend,
)

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Numbers:
    payout: Decimal = Decimal("20.00")
    qualifying_threshold: Decimal = Decimal("20.00")
    payout_delay_days: int = 30
    bonus_rate: Decimal = Decimal("0.10")
    bonus_window_days: int = 90
    bonus_delay_days: int = 30
    cap_per_friend: Decimal = Decimal("300.00")


TERMS = Numbers()


def paid(*payments: tuple[str, datetime], terms: Numbers = TERMS) -> Spend:
    """Return the spend of a friend registered on 1 January 2026 with these nets at these instants."""
    return spend(
        [Payment(f"p{place}", at, Decimal(amount)) for place, (amount, at) in enumerate(payments)],
        registered_at=JANUARY,
        terms=terms,
    )


def test_example_1_qualifies_with_the_second_payment() -> None:
    both = paid(
        ("12", datetime(2026, 1, 5, tzinfo=UTC)),
        ("9", datetime(2026, 1, 20, tzinfo=UTC)),
    )
    assert both.qualified_at == datetime(2026, 1, 20, tzinfo=UTC)
    assert payout_earned(both, TERMS) == 20
    assert payout_due_at(both, TERMS) == datetime(2026, 2, 19, tzinfo=UTC)
    assert both.window == 21
    assert bonus_earned(both, TERMS) == Decimal("0.10")
    assert bonus_due_at(JANUARY, TERMS) == datetime(2026, 5, 1, tzinfo=UTC)


def test_example_2_nothing_qualifying_earns_nothing() -> None:
    nothing = paid()
    assert nothing == Spend(Decimal(0), Decimal(0), None)
    assert payout_earned(nothing, TERMS) == bonus_earned(nothing, TERMS) == 0
    assert payout_due_at(nothing, TERMS) is None


def test_example_3_a_refund_of_a_cent_moves_qualification_to_the_payment_that_makes_it_good() -> None:
    first = net(Decimal(20), refunds=Decimal("0.01"), chargebacks=Decimal(0), reversed_chargebacks=Decimal(0))
    short = paid((str(first), datetime(2026, 1, 5, tzinfo=UTC)))
    assert short.qualified_at is None
    made_good = paid(
        (str(first), datetime(2026, 1, 5, tzinfo=UTC)),
        ("0.01", datetime(2026, 2, 3, tzinfo=UTC)),
    )
    assert made_good.qualified_at == datetime(2026, 2, 3, tzinfo=UTC)
    assert payout_due_at(made_good, TERMS) == datetime(2026, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize("amount", ["2820", "10000"])
def test_example_4_the_cap(amount: str) -> None:
    much = paid((amount, JANUARY))
    assert payout_earned(much, TERMS) + bonus_earned(much, TERMS) == 300
    assert bonus_earned(much, TERMS) == 280


def test_just_under_the_cap_the_bonus_is_a_cent_less() -> None:
    assert bonus_earned(paid(("2819.90", JANUARY)), TERMS) == Decimal("279.99")


def test_example_5_spend_outside_the_window_pays_out_but_brings_no_bonus() -> None:
    late = paid(("20", datetime(2026, 12, 31, tzinfo=UTC)))
    assert payout_due_at(late, TERMS) == datetime(2027, 1, 30, tzinfo=UTC)
    assert bonus_earned(late, TERMS) == 0


def test_the_window_is_half_open() -> None:
    edge = datetime(2026, 4, 1, tzinfo=UTC)
    assert edge == JANUARY + 90 * DAY
    assert paid(("30", edge)).window == 0
    assert paid(("30", edge - TICK)).window == 30


def test_example_6_half_a_cent_rounds_up() -> None:
    assert bonus_earned(paid(("120.05", JANUARY)), TERMS) == Decimal("10.01")
    assert bonus_earned(paid(("120.04", JANUARY)), TERMS) == Decimal("10.00")


@pytest.mark.parametrize(("amount", "payout"), [("19.99", 0), ("20.00", 20), ("20.01", 20)])
def test_both_sides_of_the_threshold(amount: str, payout: int) -> None:
    assert payout_earned(paid((amount, JANUARY)), TERMS) == payout


def test_below_the_threshold_no_bonus_whatever_the_window() -> None:
    assert bonus_earned(Spend(Decimal("19.99"), Decimal("19.99"), None), TERMS) == 0


def test_example_7_spent_credit_becomes_a_debt() -> None:
    taken = claw_back(granted=Decimal(20), let_go=Decimal(0), earned=Decimal(0), left=Decimal(5), expired=Decimal(0))
    assert taken == TakenBack(revoked=Decimal(5), let_go=Decimal(0), debt=Decimal(15))


def test_example_8_expired_credit_is_let_go_and_the_rest_a_debt() -> None:
    taken = claw_back(granted=Decimal(20), let_go=Decimal(0), earned=Decimal(0), left=Decimal(0), expired=Decimal(15))
    assert taken == TakenBack(revoked=Decimal(0), let_go=Decimal(15), debt=Decimal(5))


def test_what_was_let_go_before_is_not_let_go_again() -> None:
    taken = claw_back(granted=Decimal(30), let_go=Decimal(10), earned=Decimal(0), left=Decimal(2), expired=Decimal(15))
    assert taken == TakenBack(revoked=Decimal(2), let_go=Decimal(5), debt=Decimal(13))


def test_nothing_is_taken_back_while_granted_less_let_go_is_earned() -> None:
    assert (
        claw_back(granted=Decimal(20), let_go=Decimal(5), earned=Decimal(15), left=Decimal(0), expired=Decimal(5))
        is None
    )
    taken = claw_back(
        granted=Decimal(20), let_go=Decimal(5), earned=Decimal("14.99"), left=Decimal(0), expired=Decimal(5)
    )
    assert taken == TakenBack(revoked=Decimal(0), let_go=Decimal(0), debt=Decimal("0.01"))


def test_payments_at_one_instant_stand_in_order_of_their_ids_by_code_point() -> None:
    payments = [
        Payment("Z", JANUARY, Decimal(15)),
        Payment("a", JANUARY, Decimal(10)),
        Payment("é", JANUARY + DAY, Decimal(1)),
    ]
    assert spend(reversed(payments), registered_at=JANUARY, terms=TERMS).qualified_at == JANUARY
    assert spend(payments[1:], registered_at=JANUARY, terms=TERMS).qualified_at is None


def test_two_versions_of_the_terms_side_by_side() -> None:
    generous = replace(
        TERMS,
        payout=Decimal(50),
        qualifying_threshold=Decimal(10),
        bonus_rate=Decimal("0.25"),
        cap_per_friend=Decimal(60),
    )
    both = (("10", JANUARY), ("100", JANUARY + 89 * DAY))
    assert payout_earned(paid(*both), TERMS) == 20
    assert bonus_earned(paid(*both), TERMS) == 9
    ours = paid(*both, terms=generous)
    assert ours.qualified_at == JANUARY
    assert (payout_earned(ours, generous), bonus_earned(ours, generous)) == (50, 10)


@given(
    st.lists(
        st.tuples(
            st.decimals(0, 3000, places=2),
            st.integers(0, 120),
            st.text(min_size=1, max_size=3),
        ),
        max_size=8,
        unique_by=lambda payment: payment[2],
    ),
    st.randoms(),
)
def test_the_order_of_arrival_is_nothing(payments: list[tuple[Decimal, int, str]], random: object) -> None:
    facts = [Payment(event_id, JANUARY + day * DAY, amount) for amount, day, event_id in payments]
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = spend(facts, registered_at=JANUARY, terms=TERMS)
    assert spend(shuffled, registered_at=JANUARY, terms=TERMS) == first
    assert (first.qualified_at is None) == (first.qualifying < 20)
    assert 0 <= payout_earned(first, TERMS) + bonus_earned(first, TERMS) <= 300


@given(*[st.decimals(0, 400, places=2) for _ in range(4)], st.data())
def test_a_clawback_takes_just_what_is_overpaid(
    granted: Decimal, let_go: Decimal, earned: Decimal, left: Decimal, drawn: st.DataObject
) -> None:
    expired = let_go + drawn.draw(st.decimals(0, 400, places=2))
    taken = claw_back(granted=granted, let_go=let_go, earned=earned, left=left, expired=expired)
    if taken is None:
        assert granted - let_go <= earned
        return
    assert taken.revoked + taken.let_go + taken.debt == granted - let_go - earned
    assert 0 <= taken.revoked <= left
    assert 0 <= taken.let_go <= expired - let_go
    assert taken.debt >= 0
