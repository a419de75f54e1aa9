"""The books of refunds and disputes: what came back of orders, line by line, in money, credit and spend."""

from referral_site.audit.invariant import Invariant

INVARIANTS = (
    Invariant(
        "refund_is_its_lines",
        "A refund is the sum of what comes back of its lines, part by part.",
        """
        WITH lines AS (
            SELECT refund_id, sum(amount) AS amount, sum(cash) AS cash, sum(credit) AS credit, sum(trial) AS trial
            FROM billing_refundline GROUP BY refund_id
        )
        SELECT refund.id AS refund, refund.amount, lines.amount AS of_lines
        FROM billing_refund AS refund LEFT JOIN lines ON lines.refund_id = refund.id
        WHERE (refund.amount, refund.cash, refund.credit, refund.trial)
              IS DISTINCT FROM (lines.amount, lines.cash, lines.credit, lines.trial)
        """,
    ),
    Invariant(
        "refund_is_of_a_paid_order",
        "What comes back, comes back of lines of the refund's own order, and that is paid.",
        """
        SELECT refund.id AS refund, refund.order_id AS of_order, line.order_id AS order_of_line, ordered.state
        FROM billing_refund AS refund
        JOIN billing_order AS ordered ON ordered.id = refund.order_id
        JOIN billing_refundline AS back ON back.refund_id = refund.id
        JOIN billing_orderline AS line ON line.id = back.line_id
        WHERE line.order_id <> refund.order_id OR ordered.state <> 'paid'
        """,
    ),
    Invariant(
        "line_gives_back_what_was_paid",
        "No part of a line comes back beyond what was paid; nor of its cash with what the cardholder's bank took back.",
        """
        WITH refunded AS (
            SELECT line_id, sum(back.cash) AS cash, sum(back.credit) AS credit, sum(back.trial) AS trial
            FROM billing_refundline AS back JOIN billing_refund AS refund ON refund.id = back.refund_id
            WHERE refund.state <> 'failed' GROUP BY line_id
        ), disputed AS (
            SELECT line_id, sum(back.amount) AS cash
            FROM billing_disputeline AS back JOIN billing_dispute AS dispute ON dispute.id = back.dispute_id
            WHERE dispute.state <> 'won' GROUP BY line_id
        )
        SELECT line.id AS line, line.cash, refunded.cash AS refunded, disputed.cash AS disputed
        FROM billing_orderline AS line
        LEFT JOIN refunded ON refunded.line_id = line.id LEFT JOIN disputed ON disputed.line_id = line.id
        WHERE coalesce(refunded.cash, 0) + coalesce(disputed.cash, 0) > line.cash
           OR refunded.credit > line.credit OR refunded.trial > line.trial
        """,
    ),
    Invariant(
        "line_comes_back_in_proportion",
        "What came back of each part of a line is within a cent of the proportion in which the line was paid.",
        """
        WITH refunded AS (
            SELECT line_id, sum(back.amount) AS amount, sum(back.cash) AS cash, sum(back.credit) AS credit,
                   sum(back.trial) AS trial
            FROM billing_refundline AS back JOIN billing_refund AS refund ON refund.id = back.refund_id
            WHERE refund.state <> 'failed' GROUP BY line_id
        )
        SELECT line.id AS line, line.amount, refunded.amount AS refunded, refunded.cash, refunded.credit, refunded.trial
        FROM refunded JOIN billing_orderline AS line ON line.id = refunded.line_id
        WHERE abs(refunded.cash * line.amount - line.cash * refunded.amount) >= 0.01 * line.amount
           OR abs(refunded.credit * line.amount - line.credit * refunded.amount) >= 0.01 * line.amount
           OR abs(refunded.trial * line.amount - line.trial * refunded.amount) >= 0.01 * line.amount
        """,
    ),
    Invariant(
        "refunds_of_a_line_are_its_spends",
        "The spend of a line is refunded by the cash that came back of it.",
        """
        WITH refunded AS (
            SELECT line_id, sum(back.cash) AS cash
            FROM billing_refundline AS back JOIN billing_refund AS refund ON refund.id = back.refund_id
            WHERE refund.state = 'done' GROUP BY line_id
        ), line AS (
            SELECT number || '-' || position AS event_id, refunded.cash
            FROM billing_orderline AS line JOIN billing_order AS ordered ON ordered.id = line.order_id
            LEFT JOIN refunded ON refunded.line_id = line.id
        ), spend AS (
            SELECT payment_id, sum(amount) AS amount FROM billing_spendevent WHERE type = 'refund' GROUP BY payment_id
        )
        SELECT line.event_id, line.cash AS refunded, spend.amount AS of_spend
        FROM line
        LEFT JOIN billing_spendevent AS payment ON payment.event_id = line.event_id AND payment.source = 'console'
        LEFT JOIN spend ON spend.payment_id = payment.id
        WHERE coalesce(line.cash, 0) <> coalesce(spend.amount, 0)
        """,
    ),
    Invariant(
        "refunds_of_an_order_are_its_returns",
        "The credit and the trial of refunds that are done are back on the coupons that the order used, and no others.",
        """
        WITH refunded AS (
            SELECT order_id, sum(credit) AS credit, sum(trial) AS trial
            FROM billing_refund WHERE state = 'done' GROUP BY order_id
        ), wanted AS (
            SELECT number AS redemption_id, coalesce(refunded.credit, 0) AS amount
            FROM billing_order AS ordered LEFT JOIN refunded ON order_id = ordered.id
            UNION ALL
            SELECT number || '-trial', coalesce(refunded.trial, 0)
            FROM billing_order AS ordered LEFT JOIN refunded ON order_id = ordered.id
        ), given AS (
            SELECT redemption.redemption_id, sum(back.amount) AS amount
            FROM credits_redemptionreturn AS back JOIN credits_redemption AS redemption
                ON redemption.id = back.redemption_id AND redemption.source = 'console'
            GROUP BY redemption.redemption_id
        )
        SELECT wanted.redemption_id, wanted.amount AS refunded, given.amount AS given_back
        FROM wanted LEFT JOIN given USING (redemption_id)
        WHERE wanted.amount <> coalesce(given.amount, 0)
        """,
    ),
    Invariant(
        "cash_that_came_back_was_given_by_its_gateway",
        "A refund with cash that is done has the name that its gateway gave it, and its order was charged that much.",
        """
        WITH refunded AS (
            SELECT order_id, sum(cash) AS cash, count(*) FILTER (WHERE cash > 0 AND gateway_id = '') AS nameless
            FROM billing_refund WHERE state = 'done' GROUP BY order_id
        )
        SELECT refunded.order_id, refunded.cash, charge.amount AS charged, refunded.nameless
        FROM refunded LEFT JOIN billing_charge AS charge ON charge.order_id = refunded.order_id
        WHERE refunded.cash > coalesce(charge.amount, 0) OR refunded.nameless > 0
        """,
    ),
    Invariant(
        "dispute_is_over_lines_of_its_order",
        "A dispute is spread over lines of the order that was charged, and over no more than is disputed.",
        """
        WITH spread AS (
            SELECT dispute_id, sum(back.amount) AS amount, min(line.order_id) AS first_order,
                   max(line.order_id) AS last_order
            FROM billing_disputeline AS back JOIN billing_orderline AS line ON line.id = back.line_id
            GROUP BY dispute_id
        )
        SELECT dispute.id AS dispute, dispute.amount, spread.amount AS of_lines, charge.order_id AS of_order
        FROM spread JOIN billing_dispute AS dispute ON dispute.id = spread.dispute_id
        JOIN billing_charge AS charge ON charge.id = dispute.charge_id
        WHERE spread.amount > dispute.amount
           OR spread.first_order <> charge.order_id OR spread.last_order <> charge.order_id
        """,
    ),
    Invariant(
        "disputes_of_a_line_are_its_spends",
        "The spend of a line is charged back by what was disputed of it, and back again where a dispute is won.",
        """
        WITH disputed AS (
            SELECT line_id, sum(back.amount) AS taken, sum(back.amount) FILTER (WHERE dispute.state = 'won') AS won
            FROM billing_disputeline AS back JOIN billing_dispute AS dispute ON dispute.id = back.dispute_id
            GROUP BY line_id
        ), line AS (
            SELECT number || '-' || position AS event_id, disputed.taken, disputed.won
            FROM billing_orderline AS line JOIN billing_order AS ordered ON ordered.id = line.order_id
            LEFT JOIN disputed ON disputed.line_id = line.id
        ), spend AS (
            SELECT payment_id, sum(amount) FILTER (WHERE type = 'chargeback') AS taken,
                   sum(amount) FILTER (WHERE type = 'chargeback_reversal') AS won
            FROM billing_spendevent WHERE type IN ('chargeback', 'chargeback_reversal') GROUP BY payment_id
        )
        SELECT line.event_id, line.taken AS disputed, spend.taken AS charged_back, line.won, spend.won AS reversed
        FROM line
        LEFT JOIN billing_spendevent AS payment ON payment.event_id = line.event_id AND payment.source = 'console'
        LEFT JOIN spend ON spend.payment_id = payment.id
        WHERE coalesce(line.taken, 0) <> coalesce(spend.taken, 0) OR coalesce(line.won, 0) <> coalesce(spend.won, 0)
        """,
    ),
    Invariant(
        "refund_ends_within_a_day",
        "What staff give back has come back, or was refused, a day after it was asked for, at the latest.",
        """
        SELECT id AS refund, order_id, asked_at
        FROM billing_refund WHERE state = 'asked' AND asked_at < %(now)s - interval '24 hours'
        """,
    ),
)
