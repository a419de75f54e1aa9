"""What Postgres holds by itself: a direct attempt to break each constraint and each trigger fails, by its name."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pgtrigger
import psycopg2.errorcodes
import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models
from django.utils import timezone

from accounts.models import User
from referrals.models import ProgrammeTerms
from tests.facts import NOW
from tests.story import told_story

pytestmark = pytest.mark.django_db

OURS = ("accounts", "credits", "billing", "referrals")
MODELS: list[type[models.Model]] = [model for app in OURS for model in apps.get_app_config(app).get_models()]
COPY_EVENT = """
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, product_id, payment_id,
                                original_currency, original_amount, rate, amount, currency, qualifies, occurred_at)
SELECT batch_id, source, event_id, customer_id, type, product_id, payment_id, original_currency,
       original_amount, rate, amount, currency, qualifies, occurred_at FROM billing_spendevent LIMIT 1
"""

# Statements that break a constraint on rows that are there, and no other constraint before it.
ATTEMPTS = {
    # accounts
    "email_is_unique_on_lower_case": "UPDATE accounts_user SET email = 'alice@example.com' WHERE account_id = 'bob'",
    "email_is_in_lower_case": "UPDATE accounts_user SET email = 'BOB@example.com' WHERE account_id = 'bob'",
    "email_holds_an_at_sign": "UPDATE accounts_user SET email = 'bob' WHERE account_id = 'bob'",
    "account_id_is_not_empty": "UPDATE accounts_user SET account_id = '' WHERE account_id = 'bob'",
    "account_type_is_listed": "UPDATE accounts_user SET account_type = 'firm'",
    "closed_account_is_not_active": "UPDATE accounts_user SET is_active = true WHERE closed_at IS NOT NULL",
    "declared_type_is_listed": "UPDATE accounts_user SET declared_type = 'firm'",
    "one_account_of_a_person_is_eligible": """
        INSERT INTO accounts_identityverification
            (customer_id, state, legal_name, country, document_kind, number_tail, refusal_reason, identity_digest,
             account_type, passed_at, is_eligible)
        SELECT bob.id, state, '', '', '', '', '', identity_digest, verification.account_type, passed_at, is_eligible
        FROM accounts_identityverification AS verification, accounts_user AS bob WHERE bob.account_id = 'bob'
    """,
    "verification_state_is_listed": "UPDATE accounts_identityverification "
    "SET state = 'lost', passed_at = NULL, is_eligible = false",
    "verified_account_type_is_listed": "UPDATE accounts_identityverification SET account_type = 'firm'",
    "passed_names_its_person": "UPDATE accounts_identityverification SET identity_digest = ''",
    "passed_has_its_instant": "UPDATE accounts_identityverification SET passed_at = NULL",
    "submitted_account_type_is_listed": "UPDATE accounts_identityverification SET submitted_type = 'firm'",
    "what_is_in_review_was_submitted": "UPDATE accounts_identityverification "
    "SET state = 'in_review', passed_at = NULL, is_eligible = false",
    "what_was_refused_is_not_in_review": "UPDATE accounts_identityverification "
    "SET state = 'refused', passed_at = NULL, is_eligible = false, submitted_digest = 'digest'",
    "eligible_has_passed": "UPDATE accounts_identityverification SET state = 'refused', passed_at = NULL",
    "eligibility_moves_to_another_account": "UPDATE accounts_eligibilitymove SET to_account_id = from_account_id",
    "an_identifier_is_known_once_of_a_customer": """
        INSERT INTO accounts_knownidentifier (kind, digest, customer_id, recorded_at)
        SELECT kind, digest, customer_id, recorded_at FROM accounts_knownidentifier
    """,
    "identifier_kind_is_listed": "UPDATE accounts_knownidentifier SET kind = 'shoe'",
    "api_key_is_kept_as_a_digest": "UPDATE accounts_apikey SET digest = upper(digest) WHERE name = 'alice'",
    "api_key_has_a_name": "UPDATE accounts_apikey SET name = ''",
    "message_has_somebody_to_go_to": "UPDATE accounts_outboxmessage SET customer_id = NULL, recipient = ''",
    "message_is_sent_or_dropped": "UPDATE accounts_outboxmessage SET sent_at = now(), dropped_at = now()",
    "a_row_is_parked_once": """
        INSERT INTO accounts_parkedrow (kind, key, fact, error, tries, parked_at, tried_at)
        SELECT kind, key, fact, error, tries, parked_at, tried_at FROM accounts_parkedrow
    """,
    "what_is_parked_is_a_fact_or_of_a_customer": "UPDATE accounts_parkedrow SET kind = 'settlement'",
    "a_file_has_one_unfinished_run": """
        INSERT INTO accounts_importrun
            (kind, file_digest, started_at, lines_done, accepted, waiting, duplicate, refused)
        SELECT 'spend', 'the same', now(), 0, 0, 0, 0, 0 FROM generate_series(1, 2)
    """,
    "there_is_one_clock": "INSERT INTO accounts_clockoffset (id, ahead) VALUES (2, '1 day')",
    "webhooks_go_to_the_web": "UPDATE accounts_webhookendpoint SET url = 'ftp:' || url",
    "an_endpoint_wants_something": "UPDATE accounts_webhookendpoint SET events = '[]'",
    "an_endpoint_is_off_for_a_reason": "UPDATE accounts_webhookendpoint SET off_reason = '', switched_off_at = now()",
    "an_endpoint_has_one_current_secret": "UPDATE accounts_webhooksecret SET ends_at = NULL",
    "webhook_secret_is_not_kept": "UPDATE accounts_webhooksecret SET salt = 'x' || substr(salt, 2)",
    "an_event_has_its_own_number_in_its_stream": "UPDATE accounts_webhookevent SET stream = 'the same', sequence = 1",
    "webhook_events_are_numbered_from_one": "UPDATE accounts_webhookevent SET sequence = 0 WHERE sequence = 1",
    "webhook_type_is_listed": "UPDATE accounts_webhookevent SET type = 'reward.lost'",
    "webhook_event_has_a_key_and_a_stream": "UPDATE accounts_webhookevent SET stream = '' WHERE sequence = 1",
    "a_test_is_for_one_endpoint": "UPDATE accounts_webhookevent SET type = 'webhook.test'",
    "an_event_goes_to_an_endpoint_once": """
        INSERT INTO accounts_webhookdelivery (event_id, endpoint_id, state, created_at, due_at, give_up_at, attempts,
                                              lease, is_resent, error)
        SELECT event_id, endpoint_id, 'pending', now(), now(), now(), 0, '', false, '' FROM accounts_webhookdelivery
    """,
    "delivery_state_is_listed": "UPDATE accounts_webhookdelivery SET state = 'lost' WHERE ended_at IS NOT NULL",
    "delivery_has_ended_or_is_pending": "UPDATE accounts_webhookdelivery SET ended_at = NULL "
    "WHERE state = 'delivered'",
    "delivered_has_its_instant": "UPDATE accounts_webhookdelivery SET sent_at = NULL WHERE state = 'delivered'",
    "attempt_was_answered_or_failed": "UPDATE accounts_webhookattempt SET error = 'tls'",
    # credits
    "coupon_is_in_dollars": "UPDATE credits_coupon SET currency = 'EUR'",
    "coupon_kind_is_listed": "UPDATE credits_coupon SET kind = 'gift' WHERE kind = 'trial'",
    "coupon_source_is_not_empty": "UPDATE credits_coupon SET source = '' WHERE kind = 'payout'",
    "coupon_of_a_registration_comes_once_and_once_more": "UPDATE credits_coupon SET source = source || ' again' "
    "WHERE kind = 'trial'",
    "coupon_rewards_somebody_else": "UPDATE credits_coupon SET friend_id = customer_id WHERE kind = 'bonus'",
    "coupon_amount_is_above_zero": "UPDATE credits_coupon SET amount = 0, remaining = 0, redeemed = 0, expired = 0, "
    "revoked = 0",
    "coupon_remaining_is_within_its_amount": "UPDATE credits_coupon SET remaining = -1, redeemed = amount + 1, "
    "expired = 0, revoked = 0",
    "coupon_parts_are_not_negative": "UPDATE credits_coupon SET remaining = amount, redeemed = 1, expired = -1, "
    "revoked = 0",
    "coupon_parts_add_up": "UPDATE credits_coupon SET revoked = revoked + 0.01",
    "coupon_expires_after_issue": "UPDATE credits_coupon SET expires_at = issued_at",
    "coupon_of_a_reward_names_its_friend": "UPDATE credits_coupon SET friend_id = NULL WHERE kind = 'payout'",
    "a_redemption_counts_once": """
        INSERT INTO credits_redemption
            (source, redemption_id, customer_id, amount, currency, occurred_at, recorded_at)
        SELECT source, redemption_id, customer_id, amount, currency, occurred_at, recorded_at FROM credits_redemption
    """,
    "redemption_is_not_negative": "UPDATE credits_redemption SET amount = -0.01",
    "redemption_id_is_not_empty": "UPDATE credits_redemption SET redemption_id = ''",
    "redemption_is_in_dollars": "UPDATE credits_redemption SET currency = 'EUR'",
    "lines_of_a_redemption_stand_in_order": "UPDATE credits_redemptionline SET position = 1",
    "redemption_lines_count_from_one": "UPDATE credits_redemptionline SET position = 0 WHERE position = 1",
    "redemption_line_names_its_product": "UPDATE credits_redemptionline SET product = ''",
    "redemption_line_is_above_zero": "UPDATE credits_redemptionline SET amount = 0, paid = 0",
    "credit_pays_at_most_the_line": "UPDATE credits_redemptionline SET paid = amount + 0.01 WHERE accepts_credit",
    "credit_pays_only_what_accepts_it": "UPDATE credits_redemptionline SET accepts_credit = false WHERE paid > 0",
    "redemption_line_is_in_dollars": "UPDATE credits_redemptionline SET currency = 'EUR'",
    "a_return_counts_once": """
        INSERT INTO credits_redemptionreturn (redemption_id, return_id, amount, currency, occurred_at, recorded_at)
        SELECT redemption_id, return_id, 1, currency, occurred_at, recorded_at FROM credits_redemptionreturn
    """,
    "return_id_is_not_empty": "UPDATE credits_redemptionreturn SET return_id = ''",
    "return_is_above_zero": "UPDATE credits_redemptionreturn SET amount = 0",
    "return_is_in_dollars": "UPDATE credits_redemptionreturn SET currency = 'EUR'",
    "entry_is_in_dollars": "UPDATE credits_couponentry SET currency = 'EUR'",
    "entry_has_the_sign_of_its_type": "UPDATE credits_couponentry SET amount = -amount WHERE type = 'REDEEM'",
    "entry_leaves_no_negative_balance": "UPDATE credits_couponentry SET balance_after = -1 WHERE type = 'REDEEM'",
    "entry_issues_the_whole_amount": "UPDATE credits_couponentry SET balance_after = amount + 1 WHERE type = 'ISSUE'",
    "entry_empties_what_expires": "UPDATE credits_couponentry SET balance_after = 1 WHERE type = 'EXPIRE'",
    "entry_of_a_redemption_names_it": "UPDATE credits_couponentry SET redemption_id = NULL WHERE type = 'RETURN'",
    "a_coupon_is_issued_once": """
        INSERT INTO credits_couponentry
            (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
        SELECT coupon_id, type, 1, 1, currency, reference, occurred_at, recorded_at
        FROM credits_couponentry WHERE type = 'ISSUE'
    """,
    "a_redemption_uses_a_coupon_once": """
        INSERT INTO credits_couponentry
            (coupon_id, type, amount, balance_after, currency, redemption_id, reference, occurred_at, recorded_at)
        SELECT coupon_id, type, -1, 0, currency, redemption_id, reference, occurred_at, recorded_at
        FROM credits_couponentry WHERE type = 'REDEEM'
    """,
    "debt_is_in_dollars": "UPDATE credits_debt SET currency = 'EUR'",
    "debt_kind_is_listed": "UPDATE credits_debt SET kind = 'loan'",
    "debt_source_is_not_empty": "UPDATE credits_debt SET source = ''",
    "debt_is_for_somebody_else": "UPDATE credits_debt SET friend_id = customer_id",
    "debt_is_above_zero": "UPDATE credits_debt SET amount = 0, outstanding = 0",
    "debt_outstanding_is_within_its_amount": "UPDATE credits_debt SET outstanding = amount + 0.01",
    "debt_entry_is_in_dollars": "UPDATE credits_debtentry SET currency = 'EUR'",
    "debt_entry_has_the_sign_of_its_type": "UPDATE credits_debtentry SET amount = -amount WHERE type = 'SETTLE'",
    "debt_entry_leaves_no_negative_balance": "UPDATE credits_debtentry SET balance_after = -0.01",
    "a_debt_is_opened_once": """
        INSERT INTO credits_debtentry
            (debt_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
        SELECT debt_id, type, 1, 1, currency, reference, occurred_at, recorded_at
        FROM credits_debtentry WHERE type = 'OPEN'
    """,
    # billing
    "product_code_is_not_empty": "UPDATE billing_product SET code = '' WHERE code = 'ecs'",
    "an_event_counts_once": COPY_EVENT,
    "event_is_in_dollars": "UPDATE billing_spendevent SET currency = 'EUR'",
    "event_in_another_currency_has_the_day_of_its_rate": "UPDATE billing_spendevent SET original_currency = 'EUR'",
    "a_currency_has_one_rate_a_day": "UPDATE billing_exchangerate SET day = '2026-01-05' WHERE currency = 'EUR'",
    "exchange_rate_is_above_zero": "UPDATE billing_exchangerate SET rate = 0 WHERE day = '2026-01-05'",
    "dollars_need_no_exchange_rate": "UPDATE billing_exchangerate SET currency = 'USD' WHERE day = '2026-01-05'",
    "event_type_is_listed": "UPDATE billing_spendevent SET type = 'gift' WHERE type = 'chargeback'",
    "event_id_is_not_empty": "UPDATE billing_spendevent SET event_id = '' WHERE event_id = 'cdn'",
    "event_amount_is_above_zero": "UPDATE billing_spendevent SET original_amount = 0, amount = 0",
    "event_in_dollars_has_no_rate": "UPDATE billing_spendevent "
    "SET rate = 2, amount = 2 * original_amount WHERE event_id = 'cdn'",
    "event_is_worth_its_rate": "UPDATE billing_spendevent SET amount = amount + 0.01 WHERE event_id = 'cdn'",
    "event_names_its_product_or_its_payment": "UPDATE billing_spendevent SET product_id = NULL WHERE type = 'payment'",
    "a_payment_method_is_on_file_once": "UPDATE billing_paymentmethod SET gateway = 'stripe', token = 'the same', "
    "expiry_month = 1, expiry_year = 2030, expires_at = now()",
    "a_customer_has_one_default_payment_method": "UPDATE billing_paymentmethod SET is_default = true, "
    "removed_at = NULL, customer_id = (SELECT min(customer_id) FROM billing_paymentmethod)",
    "payment_gateway_is_listed": "UPDATE billing_paymentmethod SET gateway = 'till' WHERE gateway = 'sandbox'",
    "payment_token_is_no_card_number": "UPDATE billing_paymentmethod SET token = '4242 4242 4242 4242' "
    "WHERE gateway = 'staff'",
    "last_four_are_four_digits": "UPDATE billing_paymentmethod SET last_four = '42'",
    "removed_payment_method_is_no_default": "UPDATE billing_paymentmethod SET removed_at = now() WHERE is_default",
    "card_has_its_expiry": "UPDATE billing_paymentmethod SET expires_at = NULL WHERE gateway = 'sandbox'",
    "a_billing_system_tells_of_one_payment_method": "UPDATE billing_paymentmethod SET "
    "customer_id = (SELECT min(customer_id) FROM billing_paymentmethod) WHERE gateway = 'billing'",
    "what_a_billing_system_tells_of_is_no_default": "UPDATE billing_paymentmethod SET is_default = true "
    "WHERE gateway = 'billing'",
    "a_gateways_customer_is_one_of_ours": "UPDATE billing_gatewaycustomer SET token = 'the same', closed_at = now()",
    "a_gateway_knows_a_customer_by_one_name": """
        INSERT INTO billing_gatewaycustomer (customer_id, gateway, token, opened_at)
        SELECT customer_id, gateway, token || ' again', opened_at FROM billing_gatewaycustomer WHERE closed_at IS NULL
    """,
    "gateway_of_a_customer_is_listed": "UPDATE billing_gatewaycustomer SET gateway = 'till'",
    "a_gateways_event_takes_effect_once": """
        INSERT INTO billing_gatewayevent (gateway, event_id, type, received_at)
        SELECT gateway, event_id, type, received_at FROM billing_gatewayevent
    """,
    "a_waiting_event_counts_once": "UPDATE billing_waitingreversal SET event_id = 'the same'",
    "only_reversals_wait": "UPDATE billing_waitingreversal SET type = 'payment'",
    "waiting_ids_are_not_empty": "UPDATE billing_waitingreversal SET payment_event_id = ''",
    "waiting_amount_is_above_zero": "UPDATE billing_waitingreversal SET original_amount = 0",
    "product_price_is_in_dollars": "UPDATE billing_product SET currency = 'EUR'",
    "product_with_a_price_has_its_unit": "UPDATE billing_product SET unit = '' WHERE code = 'ecs'",
    "special_offer_costs_less_than_regular": "UPDATE billing_product SET regular_price = price WHERE code = 'ecs'",
    "special_offer_takes_no_credit": "UPDATE billing_product SET accepts_trial = true WHERE family = 'Special offers'",
    "order_is_in_dollars": "UPDATE billing_order SET currency = 'EUR'",
    "order_parts_are_not_negative": "UPDATE billing_order SET trial = -1, cash = total - credit + 1",
    "order_parts_add_up": "UPDATE billing_order SET total = total + 0.01",
    "order_is_above_zero": "UPDATE billing_order SET total = 0, trial = 0, credit = 0, cash = 0",
    "a_button_orders_once": "UPDATE billing_order SET key = 'the same'",
    "order_key_is_not_empty": "UPDATE billing_order SET key = ''",
    "order_has_the_instant_of_its_state": "UPDATE billing_order SET paid_at = NULL WHERE state = 'paid'",
    "cancelled_order_says_why": "UPDATE billing_order SET reason = '' WHERE state = 'cancelled'",
    "line_is_in_dollars": "UPDATE billing_orderline SET currency = 'EUR'",
    "line_parts_are_not_negative": "UPDATE billing_orderline SET trial = -1, cash = amount - credit + 1",
    "line_parts_add_up": "UPDATE billing_orderline SET cash = cash + 0.01",
    "line_is_above_zero": "UPDATE billing_orderline SET price = 0, amount = 0, trial = 0, credit = 0, cash = 0",
    "lines_of_an_order_stand_in_order": "UPDATE billing_orderline SET position = 1",
    "an_order_has_a_product_once": "UPDATE billing_orderline SET product_id = (SELECT min(id) FROM billing_product)",
    "line_costs_its_price": "UPDATE billing_orderline SET quantity = quantity + 1",
    "order_coupon_is_in_dollars": "UPDATE billing_ordercoupon SET currency = 'EUR'",
    "an_order_uses_a_coupon_once": "UPDATE billing_ordercoupon SET coupon_id = (SELECT min(id) FROM credits_coupon)",
    "order_coupon_is_above_zero": "UPDATE billing_ordercoupon SET amount = 0",
    "charge_is_in_dollars": "UPDATE billing_charge SET currency = 'EUR'",
    "charge_is_above_zero": "UPDATE billing_charge SET amount = 0",
    "charge_that_was_made_has_its_name": "UPDATE billing_charge SET gateway_id = '' WHERE state = 'made'",
    "charge_is_answered_or_asked": "UPDATE billing_charge SET answered_at = NULL WHERE state = 'made'",
    "a_gateways_charge_is_ours_once": "UPDATE billing_charge SET gateway_id = 'the same'",
    "sandbox_charge_is_in_dollars": "UPDATE billing_sandboxcharge SET currency = 'EUR'",
    "sandbox_refunds_no_more_than_it_charged": "UPDATE billing_sandboxcharge SET refunded = amount + 0.01",
    "sandbox_refund_is_in_dollars": "UPDATE billing_sandboxrefund SET currency = 'EUR'",
    "refund_is_in_dollars": "UPDATE billing_refund SET currency = 'EUR'",
    "refund_parts_are_not_negative": "UPDATE billing_refund SET trial = -1, cash = amount - credit + 1",
    "refund_parts_add_up": "UPDATE billing_refund SET amount = amount + 0.01",
    "refund_is_above_zero": "UPDATE billing_refund SET amount = 0, trial = 0, credit = 0, cash = 0",
    "refund_key_is_not_empty": "UPDATE billing_refund SET key = '' WHERE state = 'asked'",
    "an_order_has_one_refund_on_its_way": "UPDATE billing_refund SET state = 'asked', ended_at = NULL",
    "refund_is_ended_or_asked": "UPDATE billing_refund SET ended_at = NULL",
    "refund_line_is_in_dollars": "UPDATE billing_refundline SET currency = 'EUR'",
    "refund_line_parts_are_not_negative": "UPDATE billing_refundline SET trial = -1, cash = amount - credit + 1",
    "refund_line_parts_add_up": "UPDATE billing_refundline SET amount = amount + 0.01",
    "refund_line_is_above_zero": "UPDATE billing_refundline SET amount = 0, trial = 0, credit = 0, cash = 0",
    "a_refund_has_a_line_once": "UPDATE billing_refundline SET line_id = (SELECT min(id) FROM billing_orderline)",
    "dispute_is_in_dollars": "UPDATE billing_dispute SET currency = 'EUR'",
    "dispute_is_above_zero": "UPDATE billing_dispute SET amount = 0",
    "dispute_is_ended_or_open": "UPDATE billing_dispute SET state = 'open'",
    "dispute_line_is_in_dollars": "UPDATE billing_disputeline SET currency = 'EUR'",
    "a_dispute_has_a_line_once": """
        INSERT INTO billing_disputeline (dispute_id, line_id, amount, currency)
        SELECT dispute_id, line_id, amount, currency FROM billing_disputeline
    """,
    "dispute_line_is_above_zero": "UPDATE billing_disputeline SET amount = 0",
    # referrals
    "terms_amounts_are_not_negative": "UPDATE referrals_programmeterms SET welcome_enterprise = welcome_individual - 1",
    "terms_threshold_is_above_zero": "UPDATE referrals_programmeterms SET qualifying_threshold = 0",
    "terms_bonus_is_at_most_the_spend": "UPDATE referrals_programmeterms SET bonus_rate = 1.00001",
    "terms_cap_covers_the_payout": "UPDATE referrals_programmeterms SET cap_per_friend = payout - 0.01",
    "terms_credit_lasts_a_day_at_least": "UPDATE referrals_programmeterms SET trial_valid_days = 0",
    "referral_is_in_dollars": "UPDATE referrals_referral SET currency = 'EUR'",
    "nobody_refers_themselves": "UPDATE referrals_referral SET referrer_id = friend_id",
    "referral_spend_in_the_window_is_part_of_all": "UPDATE referrals_referral "
    "SET window_spend = qualifying_spend + 0.01",
    "referral_payout_is_due_once_qualified": "UPDATE referrals_referral SET payout_due_at = NULL "
    "WHERE qualified_at IS NOT NULL",
    "referral_let_go_is_within_granted": "UPDATE referrals_referral SET bonus_let_go = bonus_granted + 0.01",
    "refused_referral_earns_nothing": "UPDATE referrals_referral SET refused_at = now() WHERE payout_earned > 0",
    "referral_earns_nothing_negative": "UPDATE referrals_referral SET bonus_earned = -0.01 "
    "WHERE qualified_at IS NOT NULL",
    "a_reward_is_granted_once": """
        INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, currency, earned, qualifying_spend,
                                      window_spend, granted_at, recorded_at)
        SELECT referral_id, kind, n, 1, 1, currency, earned, qualifying_spend, window_spend, granted_at, recorded_at
        FROM referrals_reward
    """,
    "a_referral_is_noted_once_a_transaction": """
        INSERT INTO referrals_referralchange (referral_id, recorded_in)
        SELECT referral_id, recorded_in FROM referrals_referralchange
    """,
    "reward_kind_is_listed": "UPDATE referrals_reward SET kind = 'tip'",
    "reward_is_numbered_from_one": "UPDATE referrals_reward SET n = 0 WHERE n = 1",
    "reward_is_within_what_is_earned": "UPDATE referrals_reward SET earned = amount - 0.01 WHERE n = 1",
    "reward_is_above_zero": "UPDATE referrals_reward SET amount = 0, debts_settled = 0, coupon_id = NULL",
    "reward_settles_debts_within_its_amount": "UPDATE referrals_reward SET debts_settled = -0.01 "
    "WHERE coupon_id IS NOT NULL",
    "reward_has_a_coupon_for_the_rest": "UPDATE referrals_reward SET coupon_id = NULL WHERE debts_settled < amount",
    "reward_is_in_dollars": "UPDATE referrals_reward SET currency = 'EUR'",
    "a_clawback_happens_once": """
        INSERT INTO referrals_clawback (referral_id, kind, n, revoked, let_go, debt, earned, qualifying_spend,
                                        window_spend, currency, refused, clawed_back_at, recorded_at)
        SELECT referral_id, kind, n, 1, 0, 0, earned, qualifying_spend, window_spend, currency, refused,
               clawed_back_at, recorded_at FROM referrals_clawback
    """,
    "clawback_kind_is_listed": "UPDATE referrals_clawback SET kind = 'tip'",
    "clawback_is_numbered_from_one": "UPDATE referrals_clawback SET n = 0",
    "clawback_parts_are_not_negative": "UPDATE referrals_clawback SET revoked = 0, let_go = 0, debt = 0",
    "clawback_is_in_dollars": "UPDATE referrals_clawback SET currency = 'EUR'",
    "a_rule_has_one_open_flag_on_a_referral": """
        INSERT INTO referrals_fraudflag (referral_id, rule, severity, evidence, opened_at, outcome)
        SELECT referral_id, rule, 'note', '{}', opened_at, '' FROM referrals_fraudflag WHERE closed_at IS NULL
    """,
    "flag_names_its_rule": "UPDATE referrals_fraudflag SET rule = ''",
    "flag_severity_is_listed": "UPDATE referrals_fraudflag SET severity = 'hint'",
    "flag_outcome_is_listed": "UPDATE referrals_fraudflag SET outcome = 'lost' WHERE closed_at IS NOT NULL",
    "closed_flag_has_its_outcome": "UPDATE referrals_fraudflag SET outcome = '' WHERE closed_at IS NOT NULL",
    "abuse_kind_is_listed": "UPDATE referrals_abusereport SET kind = 'rudeness'",
    "abuse_report_has_its_id": "UPDATE referrals_abusereport SET report_id = '' WHERE flag_id IS NULL",
    "decision_is_about_a_referral_or_a_customer": "UPDATE referrals_decision SET customer_id = actor_id "
    "WHERE referral_id IS NOT NULL",
    "decision_action_is_of_a_referral_or_of_a_customer": "UPDATE referrals_decision SET action = 'forget'",
    "visits_have_one_count_a_link_day_and_channel": """
        INSERT INTO referrals_visitcount (link_id, day, channel, visits)
        SELECT link_id, day, channel, visits FROM referrals_visitcount
    """,
    "visit_channel_is_listed": "UPDATE referrals_visitcount SET channel = 'pigeon' WHERE channel = 'link'",
    "visits_are_counted_from_one": "UPDATE referrals_visitcount SET visits = 0",
    "card_leads_to_a_page_of_the_site_or_of_the_web": "UPDATE referrals_benefitcard SET link = 'http://example.com/'",
}  # fmt: skip

# Further ways to break a constraint that says more than one thing.
FURTHER_ATTEMPTS = [
    ("an_endpoint_is_off_for_a_reason", "UPDATE accounts_webhookendpoint SET off_reason = 'rain'"),
    ("webhook_secret_is_not_kept", "UPDATE accounts_webhooksecret SET digest = 'whsec'"),
    ("webhook_event_has_a_key_and_a_stream", """
        UPDATE accounts_webhookevent SET key = '' WHERE id = (SELECT min(id) FROM accounts_webhookevent)
    """),
    ("a_test_is_for_one_endpoint", "UPDATE accounts_webhookevent SET only_for_id = 1"),
    ("delivery_has_ended_or_is_pending", "UPDATE accounts_webhookdelivery SET state = 'pending', ended_at = now()"),
    ("attempt_was_answered_or_failed", "UPDATE accounts_webhookattempt SET status = NULL"),
    ("card_leads_to_a_page_of_the_site_or_of_the_web", "UPDATE referrals_benefitcard SET link = '//example.com'"),
    ("card_leads_to_a_page_of_the_site_or_of_the_web", "UPDATE referrals_benefitcard SET link = 'javascript:x'"),
    ("coupon_of_a_registration_comes_once_and_once_more", """
        UPDATE credits_coupon SET source = 'trial:' || (customer_id + 1) WHERE kind = 'trial'
    """),
    ("coupon_of_a_registration_comes_once_and_once_more", """
        UPDATE credits_coupon SET source = 'trial:' || customer_id WHERE kind = 'welcome'
    """),
    ("waiting_ids_are_not_empty", "UPDATE billing_waitingreversal SET event_id = '' WHERE event_id = 'waits'"),
    ("email_is_in_lower_case", "UPDATE accounts_user SET email = 'BÖB@example.com' WHERE account_id = 'bob'"),
    ("event_is_worth_its_rate", """
        UPDATE billing_spendevent SET original_currency = 'EUR', rate = 1.085, rate_day = '2026-01-05', amount = 9.76
        WHERE event_id = 'cdn' AND amount = 9
    """),
    ("payment_token_is_no_card_number", "UPDATE billing_paymentmethod SET token = '' WHERE gateway = 'staff'"),
    ("card_has_its_expiry", "UPDATE billing_paymentmethod SET expiry_month = 13 WHERE gateway = 'sandbox'"),
    ("card_has_its_expiry", "UPDATE billing_paymentmethod SET expires_at = now() WHERE gateway = 'staff'"),
    ("card_has_its_expiry", "UPDATE billing_paymentmethod SET expiry_month = 1 WHERE gateway = 'billing'"),
    ("refund_is_ended_or_asked", "UPDATE billing_refund SET ended_at = now() WHERE state = 'asked'"),
    ("dispute_is_above_zero", "UPDATE billing_dispute SET dispute_id = '' WHERE state = 'won'"),
    ("dispute_is_ended_or_open", "UPDATE billing_dispute SET ended_at = NULL"),
    ("order_key_is_not_empty", "UPDATE billing_order SET number = '' WHERE key = 'paid'"),
    ("order_has_the_instant_of_its_state", "UPDATE billing_order SET cancelled_at = now() WHERE state = 'paid'"),
    ("order_has_the_instant_of_its_state", "UPDATE billing_order SET paid_at = now() WHERE state = 'placed'"),
    ("cancelled_order_says_why", "UPDATE billing_order SET reason = 'declined' WHERE state = 'paid'"),
    ("line_costs_its_price", "UPDATE billing_orderline SET quantity = 0"),
    ("charge_that_was_made_has_its_name", "UPDATE billing_charge SET gateway_id = '' WHERE state = 'undone'"),
    ("charge_is_answered_or_asked", "UPDATE billing_charge SET answered_at = now() WHERE state = 'asked'"),
    ("charge_is_above_zero", "UPDATE billing_charge SET key = ''"),
    ("sandbox_refunds_no_more_than_it_charged", "UPDATE billing_sandboxcharge SET refunded = -0.01"),
    ("decision_action_is_of_a_referral_or_of_a_customer", """
        UPDATE referrals_decision SET customer_id = actor_id, referral_id = NULL WHERE action = 'refuse'
    """),
    ("decision_action_is_of_a_referral_or_of_a_customer", """
        UPDATE referrals_decision SET customer_id = NULL, referral_id = (SELECT min(id) FROM referrals_referral)
        WHERE action = 'disqualify'
    """),
]  # fmt: skip

# What triggers other than those of every ledger refuse: the operation, and a statement that tries it.
TRIGGER_ATTEMPTS = {
    ("accounts_user", "registration_stays"): [
        "UPDATE accounts_user SET registered_at = registered_at + interval '1 second' WHERE account_id = 'bob'",
        "UPDATE accounts_user SET registered_at = NULL WHERE account_id = 'bob'",
    ],
    ("accounts_user", "refuse_delete_of_registered"): ["DELETE FROM accounts_user WHERE account_id = 'bob'"],
    ("accounts_webhookevent", "a_sequence_stays"): [
        "UPDATE accounts_webhookevent SET sequence = sequence + 100",
        "UPDATE accounts_webhookevent SET sequence = NULL",
    ],
    ("accounts_webhookattempt", "an_attempt_stays"): ["UPDATE accounts_webhookattempt SET status = 500"],
    ("billing_order", "order_ends_once"): [
        "UPDATE billing_order SET paid_at = paid_at + interval '1 second' WHERE state = 'paid'",
        "UPDATE billing_order SET state = 'placed', paid_at = NULL WHERE state = 'paid'",
        "UPDATE billing_order SET reason = 'declined' WHERE state = 'cancelled'",
    ],
    ("billing_refund", "refund_ends_once"): [
        "UPDATE billing_refund SET state = 'failed' WHERE state = 'done'",
        "UPDATE billing_refund SET state = 'asked', ended_at = NULL WHERE state = 'failed'",
    ],
    ("billing_spendbatch", "batch_is_applied_once"): [
        "UPDATE billing_spendbatch SET applied_at = NULL",
        "UPDATE billing_spendbatch SET applied_at = applied_at + interval '1 second'",
    ],
    ("billing_waitingreversal", "refuse_change_of_what_waits"): [
        "UPDATE billing_waitingreversal SET original_amount = original_amount + 1",
        "UPDATE billing_waitingreversal SET payment_event_id = 'another'",
    ],
    ("referrals_programmeterms", "started_terms_stay"): [
        "UPDATE referrals_programmeterms SET payout = payout + 1",
        "DELETE FROM referrals_programmeterms",
    ],
}

# What to copy of rows that cannot take each other's unique value, or that stand alone.
ONE_ROW = {
    "IdentityVerification": "customer_id, state, legal_name, country, document_kind, number_tail, refusal_reason, "
    "identity_digest, account_type, passed_at, is_eligible",
    "Coupon": "customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked, currency, "
    "issued_at, expires_at",
    "Debt": "customer_id, friend_id, kind, source, amount, outstanding, currency, opened_at",
    "ProgrammeTerms": "starts_at, payout, qualifying_threshold, payout_delay_days, bonus_rate, bonus_window_days, "
    "bonus_delay_days, cap_per_friend, credit_valid_days, trial_valid_days, welcome_individual, welcome_enterprise, "
    "trial_individual, trial_enterprise, attribution_days, unconfirmed_days",
}

ANOTHER_VALUE = {
    "text": "reverse(%s)",
    "character varying": "reverse(%s)",
    "bigint": "coalesce(%s, 0) + 1",
    "integer": "%s + 1",
    "numeric": "%s + 1",
    "jsonb": "%s || '[\"more\"]'",
    "timestamp with time zone": "%s + interval '1 second'",
}


@pytest.fixture(scope="module", autouse=True)
def _story(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Rows in every table; an attempt that does not fail is rolled back with its test."""
    with django_db_blocker.unblock(), told_story():
        yield


def constraints() -> list[str]:
    return [constraint.name for model in MODELS for constraint in model._meta.constraints]


# Triggers that write, and refuse nothing: tests/test_api_changes.py.
WRITING_TRIGGERS = {"referral_is_new", "referral_has_changed"}


def triggers() -> list[tuple[type[models.Model], pgtrigger.Trigger]]:
    found = [(model, trigger) for model in MODELS for trigger in getattr(model._meta, "triggers", ())]
    return [(model, trigger) for model, trigger in found if trigger.name not in WRITING_TRIGGERS]


def unique_fields() -> list[tuple[type[models.Model], str]]:
    return [
        (model, str(field.column))
        for model in MODELS
        for field in model._meta.local_concrete_fields
        if field.unique and not field.primary_key
    ]


def attempts_at(model: type[models.Model], trigger: pgtrigger.Trigger) -> list[str]:
    """Return statements that the trigger must refuse."""
    table, key = model._meta.db_table, model._meta.pk.column
    match trigger.name:
        case "refuse_change":
            return [f"UPDATE {table} SET {key} = {key}", f"DELETE FROM {table}"]
        case "refuse_delete":
            return [f"DELETE FROM {table}"]
        case "refuse_truncate":
            return [f"TRUNCATE {table} CASCADE"]
    if isinstance(trigger, pgtrigger.ReadOnly):
        columns = [str(field.column) for field in model._meta.fields if field.name in (trigger.fields or ())]
        return [f"UPDATE {table} SET {column} = {another_value(table, column)}" for column in columns]
    return TRIGGER_ATTEMPTS[table, str(trigger.name)]


def another_value(table: str, column: str) -> str:
    """Return an expression whose value is not the column's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_name = %s AND column_name = %s",
            [table, column],
        )
        (data_type,) = cursor.fetchone()
    return ANOTHER_VALUE[data_type] % column


def fault_of(statement: str, *, triggers_off: bool) -> psycopg2.extensions.Diagnostics:
    """Return what Postgres says to a statement that must fail, and that would change rows."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL session_replication_role = {'replica' if triggers_off else 'origin'}")
        with pytest.raises(DatabaseError) as fault:
            cursor.execute(statement)
    cause = fault.value.__cause__
    assert isinstance(cause, psycopg2.Error)
    return cause.diag


def test_every_constraint_is_attempted() -> None:
    names = constraints()
    assert sorted(names) == sorted(ATTEMPTS)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ATTEMPTS)
def test_constraint_refuses_what_it_says(name: str) -> None:
    assert fault_of(ATTEMPTS[name], triggers_off=True).constraint_name == name


@pytest.mark.parametrize(("name", "attempt"), FURTHER_ATTEMPTS)
def test_constraint_refuses_all_that_it_says(name: str, attempt: str) -> None:
    assert fault_of(attempt, triggers_off=True).constraint_name == name


def test_reward_is_for_somebody_who_was_referred() -> None:
    """A foreign key that no model names: credits knows no referrals."""
    attempt = """
    UPDATE credits_coupon SET friend_id = (
        SELECT id FROM accounts_user WHERE id <> customer_id AND id NOT IN (SELECT friend_id FROM referrals_referral)
        LIMIT 1
    ) WHERE kind = 'payout'
    """
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE credits_coupon DISABLE TRIGGER USER; SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="coupon_friend_is_referred"):
            cursor.execute(attempt)


@pytest.mark.parametrize(("model", "column"), unique_fields(), ids=lambda value: getattr(value, "__name__", value))
def test_unique_field_is_unique(model: type[models.Model], column: str) -> None:
    table = model._meta.db_table
    statement = f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {column} IS NOT NULL LIMIT 1)"
    if model.__name__ in ONE_ROW:
        statement = f"INSERT INTO {table} ({ONE_ROW[model.__name__]}) SELECT {ONE_ROW[model.__name__]} FROM {table}"
    diagnostics = fault_of(statement, triggers_off=True)
    assert diagnostics.sqlstate == psycopg2.errorcodes.UNIQUE_VIOLATION
    assert column in (diagnostics.constraint_name or "")


@pytest.mark.parametrize(
    ("model", "trigger"), triggers(), ids=lambda value: getattr(value, "name", None) or value._meta.object_name
)
def test_trigger_refuses_what_it_says(model: type[models.Model], trigger: pgtrigger.Trigger) -> None:
    attempts = attempts_at(model, trigger)
    assert attempts
    name = trigger.get_pgid(model)  # type: ignore[arg-type]
    for attempt in attempts:
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT attempt")
            context = fault_of(attempt, triggers_off=False).context
            cursor.execute("ROLLBACK TO SAVEPOINT attempt")
        assert name in (context or "")


def test_every_ledger_refuses_to_change_and_to_be_emptied() -> None:
    """DESIGN: spend events, coupon entries, rewards and decisions are facts."""
    ledgers = {model._meta.object_name for model, trigger in triggers() if trigger.name == "refuse_change"}
    emptied = {model._meta.object_name for model, trigger in triggers() if trigger.name == "refuse_truncate"}
    assert ledgers >= {"SpendEvent", "CouponEntry", "DebtEntry", "Redemption", "RedemptionLine", "RedemptionReturn"}
    assert ledgers >= {"Reward", "Clawback", "Decision"}
    assert ledgers <= emptied


def test_unconfirmed_account_may_go() -> None:
    account = User.objects.create_user("new@example.com", created_at=NOW)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user WHERE id = %s", [account.pk])
        assert cursor.rowcount == 1


def test_terms_that_have_not_started_may_change() -> None:
    terms = ProgrammeTerms.objects.create(starts_at=timezone.now() + timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE referrals_programmeterms SET payout = 25 WHERE id = %s", [terms.pk])
        assert cursor.rowcount == 1
        cursor.execute("DELETE FROM referrals_programmeterms WHERE id = %s", [terms.pk])
        assert cursor.rowcount == 1
