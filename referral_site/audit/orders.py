"""The books of orders: each is paid by its trial, its credit and its cash, once and to the cent, or not at all."""

from referral_site.audit.invariant import Invariant

INVARIANTS = (
    Invariant(
        "order_is_its_lines",
        "An order is the sum of its lines, part by part.",
        """
        WITH line AS (
            SELECT order_id, sum(amount) AS total, sum(trial) AS trial, sum(credit) AS credit, sum(cash) AS cash
            FROM billing_orderline GROUP BY order_id
        )
        SELECT ordered.id AS ordered, ordered.total, line.total AS of_lines, ordered.trial, ordered.credit, ordered.cash
        FROM billing_order AS ordered LEFT JOIN line ON line.order_id = ordered.id
        WHERE (ordered.total, ordered.trial, ordered.credit, ordered.cash)
              IS DISTINCT FROM (line.total, line.trial, line.credit, line.cash)
        """,
    ),
    Invariant(
        "order_is_to_use_its_customers_coupons",
        "What an order is to use of coupons is its trial and its credit, and they are its customer's.",
        """
        WITH part AS (
            SELECT order_id, sum(part.amount) FILTER (WHERE coupon.kind = 'trial') AS trial,
                   sum(part.amount) FILTER (WHERE coupon.kind <> 'trial') AS credit,
                   min(coupon.customer_id) AS first_customer, max(coupon.customer_id) AS last_customer
            FROM billing_ordercoupon AS part JOIN credits_coupon AS coupon ON coupon.id = part.coupon_id
            GROUP BY order_id
        )
        SELECT ordered.id AS ordered, ordered.customer_id AS customer, part.first_customer, part.last_customer,
               ordered.trial, part.trial AS trial_of_coupons, ordered.credit, part.credit AS credit_of_coupons
        FROM billing_order AS ordered LEFT JOIN part ON part.order_id = ordered.id
        WHERE (ordered.trial, ordered.credit) <> (coalesce(part.trial, 0), coalesce(part.credit, 0))
           OR part.first_customer <> ordered.customer_id OR part.last_customer <> ordered.customer_id
        """,
    ),
    Invariant(
        "paid_order_is_redeemed",
        "A paid order has redeemed its trial and its credit, as of when it was placed; no other has redeemed anything.",
        """
        WITH used AS (
            SELECT id AS ordered, customer_id, placed_at, number || '-trial' AS redemption_id,
                   CASE state WHEN 'paid' THEN trial ELSE 0 END AS amount
            FROM billing_order
            UNION ALL
            SELECT id, customer_id, placed_at, number, CASE state WHEN 'paid' THEN credit ELSE 0 END FROM billing_order
        ), redemption AS (
            SELECT redemption_id, amount, customer_id, occurred_at FROM credits_redemption WHERE source = 'console'
        )
        SELECT used.ordered, used.redemption_id, used.amount, redemption.amount AS redeemed,
               used.placed_at, redemption.occurred_at
        FROM used LEFT JOIN redemption ON redemption.redemption_id = used.redemption_id
        WHERE used.amount <> coalesce(redemption.amount, 0)
           OR (redemption.customer_id, redemption.occurred_at) <> (used.customer_id, used.placed_at)
        """,
    ),
    Invariant(
        "paid_order_has_used_its_coupons",
        "What a paid order has taken from each coupon is what it was to use of it.",
        """
        WITH planned AS (
            SELECT ordered.id AS ordered, part.coupon_id, part.amount,
                   ordered.number || CASE coupon.kind WHEN 'trial' THEN '-trial' ELSE '' END AS redemption_id
            FROM billing_ordercoupon AS part
            JOIN billing_order AS ordered ON ordered.id = part.order_id
            JOIN credits_coupon AS coupon ON coupon.id = part.coupon_id
            WHERE ordered.state = 'paid'
        ), taken AS (
            SELECT redemption.redemption_id, entry.coupon_id, -entry.amount AS amount
            FROM credits_couponentry AS entry
            JOIN credits_redemption AS redemption ON redemption.id = entry.redemption_id
            WHERE entry.type = 'REDEEM' AND redemption.source = 'console'
        )
        SELECT planned.ordered, planned.coupon_id AS coupon, planned.amount, taken.amount AS taken
        FROM planned LEFT JOIN taken
            ON taken.redemption_id = planned.redemption_id AND taken.coupon_id = planned.coupon_id
        WHERE taken.amount IS DISTINCT FROM planned.amount
        """,
    ),
    Invariant(
        "paid_order_is_charged",
        "A paid order's cash was charged, to a card of its customer; that of one not paid was not, or goes back.",
        """
        SELECT ordered.id AS ordered, ordered.state, ordered.cash, charge.amount, charge.state AS state_of_charge,
               ordered.customer_id AS customer, method.customer_id AS customer_of_card
        FROM billing_order AS ordered
        LEFT JOIN billing_charge AS charge ON charge.order_id = ordered.id
        LEFT JOIN billing_paymentmethod AS method ON method.id = charge.method_id
        WHERE ordered.cash <> coalesce(charge.amount, 0) OR method.customer_id <> ordered.customer_id
           OR NOT CASE ordered.state
                WHEN 'paid' THEN charge.state = 'made'
                WHEN 'placed' THEN charge.state IN ('asked', 'made')
                ELSE charge.state IN ('declined', 'not_made', 'undoing', 'undone') END
        """,
    ),
    Invariant(
        "cash_of_a_paid_order_is_spend",
        "The cash of each line of a paid order is its payment, as of when it was placed; of no other is there any.",
        """
        WITH line AS (
            SELECT line.id, line.product_id, ordered.customer_id, ordered.placed_at,
                   number || '-' || position AS event_id, CASE state WHEN 'paid' THEN line.cash ELSE 0 END AS cash
            FROM billing_orderline AS line JOIN billing_order AS ordered ON ordered.id = line.order_id
        ), payment AS (
            SELECT event_id, amount, customer_id, product_id, occurred_at FROM billing_spendevent
            WHERE source = 'console' AND type = 'payment'
        )
        SELECT line.id AS line, line.event_id, line.cash, payment.amount
        FROM line LEFT JOIN payment ON payment.event_id = line.event_id
        WHERE line.cash <> coalesce(payment.amount, 0)
           OR (payment.customer_id, payment.product_id, payment.occurred_at)
              <> (line.customer_id, line.product_id, line.placed_at)
        """,
    ),
    Invariant(
        "sandbox_has_taken_what_was_charged",
        "What stands as charged by the sandbox, it has taken, and nothing that was declined or not made.",
        """
        WITH charge AS (
            SELECT charge.id, charge.key, charge.amount, charge.state
            FROM billing_charge AS charge JOIN billing_paymentmethod AS method ON method.id = charge.method_id
            WHERE method.gateway = 'sandbox'
        ), taken AS (
            SELECT key, amount FROM billing_sandboxcharge WHERE outcome = 'made'
        )
        SELECT charge.id AS charge, charge.state, charge.amount, taken.amount AS taken
        FROM charge LEFT JOIN taken ON taken.key = charge.key
        WHERE NOT CASE
            WHEN charge.state IN ('made', 'undoing', 'undone') THEN coalesce(taken.amount, 0) = charge.amount
            WHEN charge.state = 'asked' THEN coalesce(taken.amount, charge.amount) = charge.amount
            ELSE taken.amount IS NULL END
        """,
    ),
    Invariant(
        "order_ends_within_a_day",
        "No order is being paid for longer than a day, and no charge is being undone for longer.",
        """
        SELECT ordered.id AS ordered, ordered.state, ordered.placed_at, charge.state AS state_of_charge
        FROM billing_order AS ordered LEFT JOIN billing_charge AS charge ON charge.order_id = ordered.id
        WHERE (ordered.state = 'placed' AND ordered.placed_at < %(now)s - interval '24 hours')
           OR (charge.state = 'undoing' AND ordered.cancelled_at < %(now)s - interval '24 hours')
        """,
    ),
)
