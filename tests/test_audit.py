"""Every invariant of the books is broken once, behind the database's back, and is found by its name."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from billing.models import SpendEvent, WaitingReversal
from credits.models import Coupon, CouponEntry, Debt, DebtEntry, RedemptionReturn
from referral_site import tasks
from referral_site.audit import INVARIANTS
from referrals.models import Clawback, Referral, Reward
from tests.books import assert_clean_audit, breaches
from tests.facts import JANUARY, NOW, fact, record
from tests.story import told_story

pytestmark = pytest.mark.django_db

A_DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)

# What expired, said to have been revoked.
REVOKE = """
WITH coupon AS (
    UPDATE credits_coupon SET revoked = revoked + expired, expired = 0
    WHERE kind = '{kind}' AND expired > 0
    RETURNING id
)
UPDATE credits_couponentry SET type = 'REVOKE', reference = {reference}
FROM coupon WHERE coupon_id = coupon.id AND type = 'EXPIRE'
"""


class Breaker(NamedTuple):
    """Statements that break an invariant, and the constraints that stand in their way, by table."""

    sql: str
    drop: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def _story(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """One story for all tests of this module; what each test breaks is rolled back, the story itself at the end."""
    with django_db_blocker.unblock(), told_story():
        yield


def break_books(breaker: Breaker) -> None:
    """Change rows as the tables' owner, with triggers off and constraints dropped."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for constraint, table in breaker.drop.items():
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        cursor.execute(breaker.sql)
        assert cursor.rowcount > 0, "the breaker found nothing to break"


CLOSED = "(SELECT id FROM accounts_user WHERE closed_at IS NOT NULL)"

# A sum that belongs to one row only, and so cannot be one that another breaker needs.
BREAKERS = {
    "payment_methods_are_what_is_on_file": Breaker(
        "UPDATE accounts_user SET payment_method_added_at = payment_method_added_at - interval '1 second'"
        " WHERE payment_method_added_at IS NOT NULL"
    ),
    "coupon_parts_add_up": Breaker(
        "UPDATE credits_coupon SET amount = amount + 1 WHERE kind = 'trial'",
        {"coupon_parts_add_up": "credits_coupon"},
    ),
    "coupon_parts_are_its_entries": Breaker(
        "UPDATE credits_coupon SET remaining = remaining - 1, revoked = revoked + 1 "
        "WHERE kind = 'trial' AND remaining > 0"
    ),
    "entry_balances_are_running_sums": Breaker(
        "UPDATE credits_couponentry SET balance_after = balance_after + 1 WHERE type = 'REDEEM'"
    ),
    "coupon_begins_with_its_issue": Breaker(
        "UPDATE credits_couponentry SET occurred_at = occurred_at + interval '1 second' WHERE type = 'ISSUE'"
    ),
    "credit_is_redeemed_while_usable": Breaker(
        """
        UPDATE credits_couponentry AS entry SET occurred_at = coupon.expires_at
        FROM credits_coupon AS coupon WHERE coupon.id = entry.coupon_id AND entry.type = 'REDEEM'
        """
    ),
    "credit_expires_at_its_expiry_or_later": Breaker(
        """
        UPDATE credits_couponentry AS entry SET occurred_at = coupon.expires_at - interval '1 microsecond'
        FROM credits_coupon AS coupon WHERE coupon.id = entry.coupon_id AND entry.type = 'EXPIRE'
        """
    ),
    "redemption_is_what_it_took": Breaker("UPDATE credits_redemption SET amount = amount - 0.01 WHERE amount > 0"),
    "redemption_is_what_its_lines_say": Breaker("UPDATE credits_redemptionline SET paid = paid - 0.01 WHERE paid > 0"),
    "redemption_takes_its_customers_credit": Breaker(
        "UPDATE credits_redemption SET customer_id = (SELECT id FROM accounts_user WHERE account_id = 'bob')"
    ),
    "redemption_takes_credit_alone": Breaker(
        """
        UPDATE credits_couponentry SET coupon_id = trial.id
        FROM credits_coupon AS trial JOIN accounts_user AS alice ON alice.id = customer_id
        WHERE trial.kind = 'trial' AND account_id = 'alice' AND reference = 'order' AND type = 'REDEEM'
        """
    ),
    "returns_are_booked_in_full": Breaker("UPDATE credits_redemptionreturn SET amount = amount - 0.01"),
    "coupon_takes_back_what_it_gave": Breaker(
        "UPDATE credits_couponentry SET amount = amount + 20 WHERE type = 'RETURN'"
    ),
    "debt_is_its_entries": Breaker("UPDATE credits_debt SET outstanding = outstanding + 1"),
    "debt_balances_are_running_sums": Breaker(
        "UPDATE credits_debtentry SET balance_after = balance_after + 1 WHERE type = 'SETTLE'"
    ),
    "debt_begins_with_its_opening": Breaker(
        "UPDATE credits_debtentry SET occurred_at = occurred_at + interval '1 second' WHERE type = 'OPEN'"
    ),
    "closed_account_has_nothing_left": Breaker(
        f"UPDATE credits_coupon SET withdrawn_at = NULL WHERE customer_id IN {CLOSED}"
    ),
    "debt_is_written_off_with_its_account": Breaker(
        "UPDATE credits_debtentry SET type = 'WRITE_OFF' WHERE type = 'SETTLE'"
    ),
    "closed_account_is_shut": Breaker(f"UPDATE accounts_user SET email = 'hal@example.com' WHERE id IN {CLOSED}"),
    "customer_has_a_credit_account": Breaker(
        "DELETE FROM credits_creditaccount USING accounts_user WHERE id = customer_id AND account_id = 'dan'"
    ),
    "customer_has_a_trial": Breaker(
        """
        UPDATE credits_coupon SET kind = 'goodwill'
        FROM accounts_user WHERE accounts_user.id = customer_id AND account_id = 'alice' AND kind = 'trial'
        """
    ),
    "friend_has_welcome_credit": Breaker(
        """
        UPDATE credits_coupon SET kind = 'goodwill'
        FROM accounts_user WHERE accounts_user.id = customer_id AND account_id = 'bob' AND kind = 'welcome'
        """
    ),
    "welcome_credit_is_for_friends": Breaker(
        """
        UPDATE credits_coupon SET kind = 'welcome', source = 'welcome:' || customer_id
        FROM accounts_user WHERE accounts_user.id = customer_id AND account_id = 'alice' AND kind = 'trial'
        """
    ),
    "refused_friend_has_no_welcome_credit": Breaker(
        """
        UPDATE credits_coupon SET remaining = amount, revoked = 0
        FROM accounts_user WHERE accounts_user.id = customer_id AND account_id = 'eve' AND kind = 'welcome'
        """
    ),
    "revoked_credit_was_to_be_revoked": Breaker(
        "UPDATE credits_couponentry SET reference = 'at will' WHERE type = 'REVOKE' AND reference LIKE 'refusal:%'"
    ),
    "first_coupons_are_by_the_terms": Breaker(
        "UPDATE credits_coupon SET expires_at = expires_at + interval '1 second' WHERE source LIKE 'trial:%'"
    ),
    "disqualified_account_is_stopped": Breaker("UPDATE credits_creditaccount SET frozen_at = NULL"),
    "frozen_credit_is_of_a_disqualified_account": Breaker("UPDATE credits_creditaccount SET frozen_at = now()"),
    "net_is_within_the_payment": Breaker(
        "UPDATE billing_spendevent SET original_amount = original_amount + 0.01, amount = amount + 0.01 "
        "WHERE event_id = 'cem-30-back'"
    ),
    "disputes_won_are_within_the_chargebacks": Breaker(
        "UPDATE billing_spendevent SET original_amount = original_amount + 0.01, amount = amount + 0.01 "
        "WHERE event_id = 'bob-12-won'"
    ),
    "reversal_is_its_payments": Breaker(
        "UPDATE billing_spendevent SET qualifies = NOT qualifies WHERE event_id = 'bob-12-won'"
    ),
    "rate_is_of_the_last_banking_day": Breaker(
        "UPDATE billing_spendevent SET original_currency = 'EUR', rate_day = '2020-01-05' WHERE event_id = 'cdn'",
        {"event_in_another_currency_has_the_day_of_its_rate": "billing_spendevent"},
    ),
    "event_is_worth_its_rate": Breaker(
        "UPDATE billing_spendevent SET amount = amount + 0.01 WHERE event_id = 'cdn'",
        {"event_is_worth_its_rate": "billing_spendevent"},
    ),
    "event_has_the_form_of_a_fact": Breaker(
        "UPDATE billing_spendevent SET event_id = E'c\\u0001dn' WHERE event_id = 'cdn'"
    ),
    "payment_is_not_before_registration": Breaker(
        "UPDATE billing_spendevent SET occurred_at = '2025-12-31 23:59:59.999999Z' WHERE event_id = 'cdn'"
    ),
    "event_does_not_wait_and_count": Breaker(
        "UPDATE billing_waitingreversal SET event_id = 'bob-12-won' WHERE event_id = 'waits'"
    ),
    "waiting_reversal_has_to_wait": Breaker(
        "UPDATE billing_waitingreversal SET payment_event_id = 'bob-9' WHERE event_id = 'waits'"
    ),
    "batch_holds_what_it_accepted": Breaker("UPDATE billing_spendbatch SET accepted = accepted + 1"),
    "batch_is_applied_within_a_day": Breaker(
        f"UPDATE billing_spendbatch SET applied_at = NULL, received_at = '{NOW - A_DAY - TICK}'"
    ),
    "import_counts_what_it_refused": Breaker("UPDATE accounts_importrun SET refused = refused + 1"),
    "import_counts_what_waits": Breaker("UPDATE accounts_importrun SET waiting = 0, accepted = 1"),
    "referral_keeps_the_terms_of_its_registration": Breaker(
        "UPDATE referrals_programmeterms SET starts_at = '2026-01-01 00:00:00.000001Z'"
    ),
    "referral_is_noted_as_written": Breaker("DELETE FROM referrals_referralchange"),
    "referral_is_of_its_friends_registration": Breaker(
        "UPDATE referrals_referral SET bonus_due_at = bonus_due_at + interval '1 second'"
    ),
    "imported_friend_has_its_referrer": Breaker(
        """UPDATE accounts_user SET signup_attribution = '{"referred_by": "gus"}' WHERE account_id = 'bob'"""
    ),
    "payout_is_due_after_the_wait": Breaker(
        "UPDATE referrals_referral SET payout_due_at = payout_due_at - interval '1 microsecond'"
    ),
    "referral_is_tracked_within_a_day": Breaker(
        f"UPDATE referrals_referral SET tracked_at = NULL, created_at = '{NOW - A_DAY - TICK}'"
    ),
    "friend_registers_after_the_referrer": Breaker(
        "UPDATE accounts_user SET registered_at = registered_at + interval '1 second' WHERE account_id = 'alice'"
    ),
    "referral_earns_what_its_spend_says": Breaker(
        "UPDATE referrals_referral SET window_spend = window_spend - 0.01 WHERE window_spend > 0"
    ),
    "granted_is_rewards_less_clawbacks": Breaker(
        "UPDATE referrals_referral SET bonus_granted = bonus_granted + 0.01 WHERE bonus_granted > 0"
    ),
    "granted_is_within_the_cap": Breaker(
        "UPDATE referrals_programmeterms SET cap_per_friend = 20.09, payout = 20"
    ),
    "let_go_is_within_what_expired": Breaker(
        """
        UPDATE referrals_referral SET payout_let_go = payout_let_go + 0.01, payout_granted = payout_granted + 1
        WHERE payout_let_go > 0
        """
    ),
    "rewards_are_numbered_from_one": Breaker("UPDATE referrals_reward SET n = n + 1 WHERE n = 2"),
    "clawbacks_are_numbered_from_one": Breaker("UPDATE referrals_clawback SET n = 2"),
    "reward_follows_from_its_spend": Breaker(
        "UPDATE referrals_reward SET window_spend = window_spend + 0.1 WHERE kind = 'bonus'"
    ),
    "clawback_follows_from_its_spend": Breaker("UPDATE referrals_clawback SET earned = earned + 20"),
    "reward_waits_until_it_can_be_due": Breaker(
        """
        UPDATE referrals_reward AS reward SET granted_at = bonus_due_at - interval '1 microsecond'
        FROM referrals_referral AS referral WHERE referral.id = referral_id AND kind = 'bonus'
        """
    ),
    "reward_coupon_is_the_rewards": Breaker(
        "UPDATE credits_coupon SET expires_at = expires_at + interval '1 second' WHERE kind = 'bonus'"
    ),
    "coupon_of_a_reward_has_its_reward": Breaker(
        "DELETE FROM referrals_reward WHERE kind = 'bonus' AND n = 2"
    ),
    "reward_settles_its_referrers_debts": Breaker(
        "UPDATE credits_debtentry SET reference = reference || '0' WHERE type = 'SETTLE'"
    ),
    "clawback_opens_its_debt": Breaker("UPDATE credits_debt SET kind = 'bonus'"),
    "clawback_revokes_its_rewards_coupons": Breaker(
        "UPDATE referrals_clawback SET revoked = revoked + 0.01 WHERE revoked > 0"
    ),
    "referral_is_held_while_a_hold_is_open": Breaker("UPDATE referrals_referral SET held = NOT held"),
    "refusal_was_decided": Breaker("UPDATE referrals_referral SET refused_at = NULL WHERE refused_at IS NOT NULL"),
    "webhook_numbers_have_no_gap": Breaker("UPDATE accounts_webhookevent SET sequence = 100 WHERE sequence = 1"),
    "webhook_event_is_numbered_within_a_day": Breaker(
        f"UPDATE accounts_webhookevent SET sequence = NULL, created_at = '{NOW - A_DAY - TICK}'"
    ),
    "webhook_delivery_is_tried_within_a_day": Breaker(
        "UPDATE accounts_webhookdelivery SET state = 'pending', ended_at = NULL, due_at = "
        f"'{NOW - A_DAY - TICK}' WHERE state = 'delivered'"
    ),
    "delivered_webhook_was_taken": Breaker("UPDATE accounts_webhookattempt SET status = 500 WHERE status = 204"),
    "webhook_endpoint_has_its_secret": Breaker("UPDATE accounts_webhooksecret SET ends_at = now()"),
    "disqualification_was_decided": Breaker("DELETE FROM referrals_decision WHERE action = 'disqualify'"),
    "order_is_its_lines": Breaker("UPDATE billing_order SET total = total + 1, cash = cash + 1"),
    "order_is_to_use_its_customers_coupons": Breaker("UPDATE billing_ordercoupon SET amount = amount - 0.01"),
    "paid_order_is_redeemed": Breaker(
        "UPDATE credits_redemption SET occurred_at = occurred_at + interval '1 second' WHERE redemption_id ~ '-trial$'"
    ),
    "paid_order_has_used_its_coupons": Breaker(
        """
        UPDATE billing_ordercoupon AS part SET amount = amount + 1
        FROM billing_order AS ordered WHERE ordered.id = part.order_id AND ordered.state = 'paid'
        """
    ),
    "paid_order_is_charged": Breaker("UPDATE billing_charge SET state = 'undone' WHERE state = 'made'"),
    "cash_of_a_paid_order_is_spend": Breaker(
        "UPDATE billing_spendevent SET occurred_at = occurred_at + interval '1 second' WHERE source = 'console'"
    ),
    "sandbox_has_taken_what_was_charged": Breaker("UPDATE billing_sandboxcharge SET amount = amount + 1"),
    "refund_is_its_lines": Breaker("UPDATE billing_refund SET amount = amount + 1, trial = trial + 1"),
    "refund_is_of_a_paid_order": Breaker(
        "UPDATE billing_order SET state = 'placed', paid_at = NULL WHERE state = 'paid'"
    ),
    "line_gives_back_what_was_paid": Breaker(
        """
        UPDATE billing_disputeline AS back SET amount = line.cash + 0.01
        FROM billing_orderline AS line WHERE line.id = back.line_id
        """
    ),
    "line_comes_back_in_proportion": Breaker(
        "UPDATE billing_refundline SET trial = trial - 0.02, credit = credit + 0.02 WHERE trial > 0"
    ),
    "refunds_of_a_line_are_its_spends": Breaker(
        "UPDATE billing_spendevent SET amount = amount / 2, original_amount = original_amount / 2 "
        "WHERE source = 'console' AND type = 'refund'"
    ),
    "refunds_of_an_order_are_its_returns": Breaker("UPDATE billing_refund SET state = 'failed' WHERE state = 'done'"),
    "cash_that_came_back_was_given_by_its_gateway": Breaker("UPDATE billing_refund SET gateway_id = ''"),
    "dispute_is_over_lines_of_its_order": Breaker("UPDATE billing_dispute SET amount = amount - 0.01"),
    "disputes_of_a_line_are_its_spends": Breaker("UPDATE billing_dispute SET state = 'lost' WHERE state = 'won'"),
    "refund_ends_within_a_day": Breaker(
        f"UPDATE billing_refund SET asked_at = '{NOW - A_DAY - TICK}' WHERE state = 'asked'"
    ),
    "order_ends_within_a_day": Breaker(
        f"UPDATE billing_order SET placed_at = '{NOW - A_DAY - TICK}' WHERE state = 'placed'"
    ),
}  # fmt: skip


def test_story_leaves_a_trace_of_every_kind() -> None:
    """What is not there cannot be broken: the books that the other tests break are not empty."""
    assert set(CouponEntry.objects.values_list("type", flat=True)) == set(CouponEntry.Type.values)
    assert set(DebtEntry.objects.values_list("type", flat=True)) == set(DebtEntry.Type.values)
    assert set(SpendEvent.objects.values_list("type", flat=True)) >= {"payment", "chargeback", "chargeback_reversal"}
    assert WaitingReversal.objects.count() == 3
    assert Clawback.objects.filter(let_go__gt=0).exists()
    assert Clawback.objects.filter(debt__gt=0, revoked__gt=0).exists()
    assert Reward.objects.filter(n=2, debts_settled__gt=0).exists()
    assert Reward.objects.filter(kind="bonus", n=2).exists()
    assert Debt.objects.exists()
    assert RedemptionReturn.objects.exists()
    assert Coupon.objects.filter(source__contains="upgrade").count() == 2


def test_books_of_the_story_are_clean() -> None:
    assert_clean_audit()


def test_every_invariant_has_a_breaker() -> None:
    names = [invariant.name for invariant in INVARIANTS]
    assert sorted(names) == sorted(BREAKERS)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", BREAKERS)
def test_broken_invariant_is_found_by_its_name(name: str) -> None:
    break_books(BREAKERS[name])
    found = breaches(now=NOW)
    assert name in found
    assert len(found[name]) > 1, "a line a row stands under the invariant's sentence"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM credits_redemptionline WHERE paid > 0",
        "DELETE FROM credits_redemptionline WHERE position = 1",
        "UPDATE credits_redemptionline SET position = 3 WHERE position = 2",
        "DELETE FROM credits_redemptionline",
    ],
)
def test_a_redemption_whose_lines_say_something_else_is_found(change: str) -> None:
    break_books(Breaker(change))
    assert "redemption_is_what_its_lines_say" in breaches()


@pytest.mark.parametrize("kind", ["payout", "welcome"])
@pytest.mark.parametrize(
    "reference",
    [
        "''",
        "'order-back'",
        "(SELECT min(reference) FROM credits_couponentry WHERE reference LIKE 'refusal:%')",
        "(SELECT min(reference) FROM credits_couponentry WHERE reference LIKE 'closing:%')",
    ],
)
def test_credit_is_not_revoked_without_a_reason_of_its_own(kind: str, reference: str) -> None:
    break_books(Breaker(REVOKE.format(kind=kind, reference=reference)))
    assert "revoked_credit_was_to_be_revoked" in breaches()


def test_the_clawback_of_another_friends_reward_revokes_nothing() -> None:
    """The first debt is for bob's payout; it is cem's that expired."""
    break_books(Breaker(REVOKE.format(kind="payout", reference="(SELECT min(source) FROM credits_debt)")))
    assert "revoked_credit_was_to_be_revoked" in breaches()


def test_no_closing_revokes_what_is_left_in_part() -> None:
    break_books(
        Breaker(
            f"""
            WITH coupon AS (
                UPDATE credits_coupon SET revoked = revoked - 1, remaining = 1
                WHERE customer_id IN {CLOSED} AND kind = 'trial'
                RETURNING id
            )
            UPDATE credits_couponentry SET amount = amount + 1, balance_after = 1
            FROM coupon WHERE coupon_id = coupon.id AND type = 'REVOKE'
            """
        )
    )
    assert set(breaches()) == {"revoked_credit_was_to_be_revoked", "closed_account_has_nothing_left"}


@pytest.mark.parametrize(
    "change",
    [
        "referrals_referrallink SET switched_off_at = NULL WHERE owner_id IN",
        "accounts_knownidentifier SET kind = 'card' WHERE customer_id IN",
    ],
)
def test_closed_account_that_is_not_shut_is_found(change: str) -> None:
    break_books(Breaker(f"UPDATE {change} {CLOSED}"))
    assert set(breaches()) == {"closed_account_is_shut"}


def test_imported_friend_without_a_referral_is_found() -> None:
    break_books(
        Breaker(
            "DELETE FROM referrals_referral USING accounts_user AS dan WHERE dan.id = friend_id AND account_id = 'dan'"
        )
    )
    assert "imported_friend_has_its_referrer" in breaches()


@pytest.mark.parametrize(
    "change",
    [
        "billing_waitingreversal SET original_currency = 'eur' WHERE event_id = 'waits'",
        "billing_waitingreversal SET payment_event_id = E'\\u007f' WHERE event_id = 'waits'",
    ],
)
def test_fact_in_another_form_is_found(change: str) -> None:
    break_books(Breaker(f"UPDATE {change}"))
    assert set(breaches()) == {"event_has_the_form_of_a_fact"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("billing_spendbatch SET applied_at = NULL, received_at", "batch_is_applied_within_a_day"),
        ("referrals_referral SET tracked_at = NULL, created_at", "referral_is_tracked_within_a_day"),
        ("accounts_webhookevent SET sequence = NULL, created_at", "webhook_event_is_numbered_within_a_day"),
        (
            "accounts_webhookdelivery SET state = 'pending', ended_at = NULL, due_at",
            "webhook_delivery_is_tried_within_a_day",
        ),
    ],
)
def test_what_has_come_may_wait_a_day(change: str, name: str) -> None:
    break_books(Breaker(f"UPDATE {change} = '{NOW}'"))
    assert name not in breaches(now=NOW + A_DAY)
    assert name in breaches(now=NOW + A_DAY + TICK)


PAID = "billing_order SET state = 'paid', reason = '', cancelled_at = NULL, paid_at = placed_at"
UNPAID = "billing_order SET state = 'cancelled', reason = 'declined', cancelled_at = placed_at, paid_at = NULL"


@pytest.mark.parametrize("change", [f"{PAID} WHERE state = 'cancelled'", f"{UNPAID} WHERE state = 'paid'"])
def test_order_that_is_said_to_be_paid_or_not_shows_in_all_that_pays_for_it(change: str) -> None:
    break_books(Breaker(f"UPDATE {change}"))
    assert set(breaches()) >= {"paid_order_is_redeemed", "paid_order_is_charged", "cash_of_a_paid_order_is_spend"}


@pytest.mark.parametrize("state", ["made", "undoing", "undone"])
def test_charge_that_its_gateway_does_not_know_is_found(state: str) -> None:
    known = "UPDATE billing_charge SET gateway_id = id, answered_at = asked_at"
    break_books(Breaker(f"DELETE FROM billing_sandboxcharge; {known}, state = '{state}'"))
    assert "sandbox_has_taken_what_was_charged" in breaches()


def test_charge_that_was_made_after_all_is_found() -> None:
    break_books(Breaker("UPDATE billing_charge SET state = 'not_made' WHERE state = 'undone'"))
    assert set(breaches()) == {"sandbox_has_taken_what_was_charged"}


def test_charge_may_be_undone_for_a_day() -> None:
    break_books(Breaker("UPDATE billing_charge SET state = 'undoing' WHERE state = 'undone'"))
    assert "order_ends_within_a_day" not in breaches(now=NOW + A_DAY)
    assert "order_ends_within_a_day" in breaches(now=NOW + A_DAY + TICK)


def test_refund_may_be_on_its_way_for_a_day() -> None:
    break_books(Breaker(f"UPDATE billing_refund SET asked_at = '{NOW}' WHERE state = 'asked'"))
    assert "refund_ends_within_a_day" not in breaches(now=NOW + A_DAY)
    assert "refund_ends_within_a_day" in breaches(now=NOW + A_DAY + TICK)


def run_audit(*options: str) -> tuple[int, list[str]]:
    printed = StringIO()
    try:
        call_command("audit", *options, stdout=printed)
    except SystemExit as stop:
        return int(str(stop.code)), printed.getvalue().splitlines()
    return 0, printed.getvalue().splitlines()


def test_command_prints_one_line_of_counts_where_all_holds() -> None:
    assert run_audit() == (0, [f"checked={len(INVARIANTS)} failed=0"])


def test_command_prints_what_fails_row_by_row_and_exits_1() -> None:
    break_books(Breaker("UPDATE referrals_referral SET held = NOT held WHERE held"))
    dans = Referral.objects.get(friend__account_id="dan")
    code, lines = run_audit()
    assert code == 1
    assert lines == [
        "referral_is_held_while_a_hold_is_open: "
        "A referral is held if, and only if, a flag of severity hold is open on it.",
        f"  referral={dans.pk} held=False",
        f"checked={len(INVARIANTS)} failed=1",
    ]


def test_command_prints_some_rows_and_counts_the_others() -> None:
    break_books(Breaker("UPDATE referrals_referral SET held = NOT held"))
    code, lines = run_audit("--rows", "2")
    assert code == 1
    (head,) = [number for number, line in enumerate(lines) if line.startswith("referral_is_held")]
    assert [line.split("=")[0] for line in lines[head + 1 : head + 4]] == ["  referral", "  referral", "  and 4 more"]


def test_command_says_how_long_each_takes_where_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_audit("--verbosity", "2") == (0, [f"checked={len(INVARIANTS)} failed=0"])
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in told] == [invariant.name for invariant in INVARIANTS]
    assert told[0].startswith(f"1/{len(INVARIANTS)} 0.")
    run_audit()
    assert capsys.readouterr().err == ""


def test_nightly_job_logs_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    assert tasks.audit() == f"checked={len(INVARIANTS)} failed=0"
    assert not caplog.records
    break_books(Breaker("UPDATE referrals_referral SET held = NOT held WHERE held"))
    assert tasks.audit() == f"checked={len(INVARIANTS)} failed=1"
    assert "referral_is_held_while_a_hold_is_open" in caplog.text


@pytest.mark.parametrize(
    ("change", "is_found"),
    [("occurred_at = expires_at - interval '1 microsecond'", False), ("occurred_at = issued_at", False),
     ("occurred_at = issued_at - interval '1 microsecond'", True), ("occurred_at = expires_at", True)],
)  # fmt: skip
def test_credit_is_usable_from_its_issue_until_its_expiry(change: str, is_found: bool) -> None:
    break_books(
        Breaker(
            f"""
            UPDATE credits_couponentry AS entry SET {change}
            FROM credits_coupon AS coupon WHERE coupon.id = entry.coupon_id AND entry.type = 'REDEEM'
            """
        )
    )
    assert ("credit_is_redeemed_while_usable" in breaches()) == is_found


def test_spend_that_is_not_tracked_yet_breaks_nothing() -> None:
    bob = User.objects.get(account_id="bob")
    record(fact(bob, "late", "100", JANUARY + timedelta(days=1)))
    assert_clean_audit()


@pytest.mark.parametrize(("rate_day", "is_right"), [("2025-12-28", False), ("2025-12-29", True), ("2026-01-06", False)])
def test_rate_of_a_day_too_old_or_to_come_is_found(rate_day: str, is_right: bool) -> None:
    break_books(
        Breaker(
            f"UPDATE billing_spendevent SET original_currency = 'EUR', rate_day = '{rate_day}', "
            "occurred_at = '2026-01-05T12:00:00Z' WHERE event_id = 'cdn'"
        )
    )
    assert ("rate_is_of_the_last_banking_day" in breaches()) is not is_right
