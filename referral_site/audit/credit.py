"""The books of credit: coupons, entries, redemptions and debts (TERMS: Credit, What a new customer gets)."""

from referral_site.audit.invariant import Invariant

INVARIANTS = (
    Invariant(
        "coupon_parts_add_up",
        "A coupon's amount is what is left, redeemed, expired and revoked, none of it below zero.",
        """
        SELECT id AS coupon, amount, remaining, redeemed, expired, revoked
        FROM credits_coupon
        WHERE amount <> remaining + redeemed + expired + revoked OR least(remaining, redeemed, expired, revoked) < 0
        """,
    ),
    Invariant(
        "coupon_parts_are_its_entries",
        "Each part of a coupon is the sum of its entries of that type.",
        """
        WITH booked AS (
            SELECT coupon_id,
                   sum(amount) FILTER (WHERE type = 'ISSUE') AS amount,
                   sum(amount) AS remaining,
                   coalesce(-sum(amount) FILTER (WHERE type IN ('REDEEM', 'RETURN')), 0) AS redeemed,
                   coalesce(-sum(amount) FILTER (WHERE type = 'EXPIRE'), 0) AS expired,
                   coalesce(-sum(amount) FILTER (WHERE type = 'REVOKE'), 0) AS revoked
            FROM credits_couponentry GROUP BY coupon_id
        )
        SELECT coupon.id AS coupon, coupon.amount, booked.amount AS issued,
               coupon.remaining, booked.remaining AS remaining_booked, coupon.redeemed,
               booked.redeemed AS redeemed_booked, coupon.expired, booked.expired AS expired_booked,
               coupon.revoked, booked.revoked AS revoked_booked
        FROM credits_coupon AS coupon LEFT JOIN booked ON booked.coupon_id = coupon.id
        WHERE (coupon.amount, coupon.remaining, coupon.redeemed, coupon.expired, coupon.revoked) IS DISTINCT FROM
              (booked.amount, booked.remaining, booked.redeemed, booked.expired, booked.revoked)
        """,
    ),
    Invariant(
        "entry_balances_are_running_sums",
        "What an entry leaves on its coupon is the sum of the coupon's entries up to it.",
        """
        SELECT id AS entry, coupon_id AS coupon, balance_after, so_far
        FROM (
            SELECT *, sum(amount) OVER (PARTITION BY coupon_id ORDER BY id) AS so_far FROM credits_couponentry
        ) AS entry
        WHERE balance_after <> so_far
        """,
    ),
    Invariant(
        "coupon_begins_with_its_issue",
        "A coupon's first entry issues it, at the instant from which it is usable.",
        """
        WITH first AS (SELECT coupon_id, min(id) AS id FROM credits_couponentry GROUP BY coupon_id)
        SELECT coupon.id AS coupon, entry.id AS entry, entry.type, entry.occurred_at, coupon.issued_at
        FROM first JOIN credits_couponentry AS entry USING (id)
        JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        WHERE entry.type <> 'ISSUE' OR entry.occurred_at <> coupon.issued_at
        """,
    ),
    Invariant(
        "credit_is_redeemed_while_usable",
        "A coupon is used at or after its issue and before it expires.",
        """
        SELECT entry.id AS entry, coupon.id AS coupon, entry.occurred_at, coupon.issued_at, coupon.expires_at
        FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        WHERE entry.type = 'REDEEM'
          AND (entry.occurred_at < coupon.issued_at OR entry.occurred_at >= coupon.expires_at)
        """,
    ),
    Invariant(
        "credit_expires_at_its_expiry_or_later",
        "Nothing expires before the coupon does.",
        """
        SELECT entry.id AS entry, coupon.id AS coupon, entry.occurred_at, coupon.expires_at
        FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        WHERE entry.type = 'EXPIRE' AND entry.occurred_at < coupon.expires_at
        """,
    ),
    Invariant(
        "redemption_is_what_it_took",
        "A redemption's amount is what its entries took from coupons.",
        """
        WITH taken AS (
            SELECT redemption_id, -sum(amount) AS amount FROM credits_couponentry
            WHERE type = 'REDEEM' GROUP BY redemption_id
        )
        SELECT redemption.id AS redemption, redemption.amount, taken.amount AS taken
        FROM credits_redemption AS redemption LEFT JOIN taken ON taken.redemption_id = redemption.id
        WHERE redemption.amount IS DISTINCT FROM taken.amount
        """,
    ),
    Invariant(
        "redemption_takes_its_customers_credit",
        "A redemption takes from coupons of its own customer, at its own instant.",
        """
        SELECT entry.id AS entry, redemption.id AS redemption, redemption.customer_id AS customer,
               coupon.customer_id AS customer_of_coupon, redemption.occurred_at, entry.occurred_at AS taken_at
        FROM credits_couponentry AS entry
        JOIN credits_redemption AS redemption ON redemption.id = entry.redemption_id
        JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        WHERE redemption.customer_id <> coupon.customer_id
           OR (entry.type = 'REDEEM' AND entry.occurred_at <> redemption.occurred_at)
        """,
    ),
    Invariant(
        "redemption_takes_credit_alone",
        "A redemption takes from a trial, which is no credit, only at our own checkout, and from nothing else then.",
        """
        SELECT entry.id AS entry, redemption.id AS redemption, redemption.redemption_id AS named,
               coupon.id AS coupon, coupon.kind
        FROM credits_couponentry AS entry
        JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        JOIN credits_redemption AS redemption ON redemption.id = entry.redemption_id
        WHERE entry.type = 'REDEEM' AND (coupon.kind = 'trial')
              <> (redemption.source = 'console' AND redemption.redemption_id LIKE '%%-trial')
        """,
    ),
    Invariant(
        "returns_are_booked_in_full",
        "What was returned of a redemption stands on coupons in full, and is at most what it took.",
        """
        WITH returned AS (
            SELECT redemption_id, sum(amount) AS amount FROM credits_redemptionreturn GROUP BY redemption_id
        ), booked AS (
            SELECT redemption_id, sum(amount) AS amount FROM credits_couponentry
            WHERE type = 'RETURN' GROUP BY redemption_id
        )
        SELECT redemption.id AS redemption, redemption.amount, returned.amount AS returned, booked.amount AS booked
        FROM returned FULL JOIN booked ON booked.redemption_id = returned.redemption_id
        JOIN credits_redemption AS redemption ON redemption.id = coalesce(returned.redemption_id, booked.redemption_id)
        WHERE returned.amount IS DISTINCT FROM booked.amount OR returned.amount > redemption.amount
        """,
    ),
    Invariant(
        "coupon_takes_back_what_it_gave",
        "A coupon gets back of a redemption at most what the redemption took from it.",
        """
        SELECT redemption_id AS redemption, coupon_id AS coupon, sum(amount) AS balance
        FROM credits_couponentry WHERE redemption_id IS NOT NULL
        GROUP BY redemption_id, coupon_id HAVING sum(amount) > 0
        """,
    ),
    Invariant(
        "debt_is_its_entries",
        "A debt is what was opened, and what is outstanding is the sum of its entries.",
        """
        WITH booked AS (
            SELECT debt_id, sum(amount) FILTER (WHERE type = 'OPEN') AS opened, sum(amount) AS outstanding
            FROM credits_debtentry GROUP BY debt_id
        )
        SELECT debt.id AS debt, debt.amount, booked.opened, debt.outstanding, booked.outstanding AS outstanding_booked
        FROM credits_debt AS debt LEFT JOIN booked ON booked.debt_id = debt.id
        WHERE (debt.amount, debt.outstanding) IS DISTINCT FROM (booked.opened, booked.outstanding)
        """,
    ),
    Invariant(
        "debt_balances_are_running_sums",
        "What an entry leaves of its debt is the sum of the debt's entries up to it.",
        """
        SELECT id AS entry, debt_id AS debt, balance_after, so_far
        FROM (
            SELECT *, sum(amount) OVER (PARTITION BY debt_id ORDER BY id) AS so_far FROM credits_debtentry
        ) AS entry
        WHERE balance_after <> so_far
        """,
    ),
    Invariant(
        "debt_begins_with_its_opening",
        "A debt's first entry opens it, at the instant of the clawback.",
        """
        WITH first AS (SELECT debt_id, min(id) AS id FROM credits_debtentry GROUP BY debt_id)
        SELECT debt.id AS debt, entry.id AS entry, entry.type, entry.occurred_at, debt.opened_at
        FROM first JOIN credits_debtentry AS entry USING (id) JOIN credits_debt AS debt ON debt.id = entry.debt_id
        WHERE entry.type <> 'OPEN' OR entry.occurred_at <> debt.opened_at
        """,
    ),
    Invariant(
        "customer_has_a_credit_account",
        "Every registered account has a credit account, and nobody else has one.",
        """
        SELECT customer.id AS customer, customer.registered_at, account.customer_id AS credit_account
        FROM accounts_user AS customer LEFT JOIN credits_creditaccount AS account ON account.customer_id = customer.id
        WHERE (customer.registered_at IS NULL) <> (account.customer_id IS NULL)
        """,
    ),
    Invariant(
        "customer_has_a_trial",
        "Every registered account has its trial, unless its referral is held or was when the account was closed.",
        """
        WITH version AS MATERIALIZED (
            SELECT *, lead(starts_at, 1, 'infinity') OVER (ORDER BY starts_at) AS ends_at FROM referrals_programmeterms
        )
        SELECT customer.id AS customer, customer.registered_at
        FROM accounts_user AS customer
        JOIN version ON customer.registered_at >= version.starts_at AND customer.registered_at < version.ends_at
        LEFT JOIN referrals_referral AS referral ON referral.friend_id = customer.id
        LEFT JOIN credits_coupon AS coupon ON coupon.customer_id = customer.id AND coupon.kind = 'trial'
        WHERE coupon.id IS NULL AND referral.held IS NOT TRUE AND customer.closed_at IS NULL
          AND CASE customer.account_type WHEN 'enterprise' THEN trial_enterprise ELSE trial_individual END > 0
        """,
    ),
    Invariant(
        "friend_has_welcome_credit",
        "Every friend has the welcome credit, unless the referral is held or refused, or was when the account was "
        "closed.",
        """
        SELECT referral.id AS referral, referral.friend_id AS friend
        FROM referrals_referral AS referral
        JOIN accounts_user AS friend ON friend.id = referral.friend_id
        JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        LEFT JOIN credits_coupon AS coupon ON coupon.customer_id = referral.friend_id AND coupon.kind = 'welcome'
        WHERE coupon.id IS NULL AND NOT referral.held AND referral.refused_at IS NULL AND friend.closed_at IS NULL
          AND CASE friend.account_type WHEN 'enterprise' THEN welcome_enterprise ELSE welcome_individual END > 0
        """,
    ),
    Invariant(
        "welcome_credit_is_for_friends",
        "Only a referred customer has welcome credit.",
        """
        SELECT coupon.id AS coupon, coupon.customer_id AS customer
        FROM credits_coupon AS coupon
        LEFT JOIN referrals_referral AS referral ON referral.friend_id = coupon.customer_id
        WHERE coupon.kind = 'welcome' AND referral.id IS NULL
        """,
    ),
    Invariant(
        "refused_friend_has_no_welcome_credit",
        "A refused referral's friend has nothing left on welcome credit that the refusal found usable.",
        """
        SELECT referral.id AS referral, coupon.id AS coupon, coupon.remaining, coupon.expires_at, referral.refused_at
        FROM referrals_referral AS referral JOIN credits_coupon AS coupon ON coupon.customer_id = referral.friend_id
        WHERE coupon.kind = 'welcome' AND coupon.remaining > 0 AND coupon.expires_at > referral.refused_at
        """,
    ),
    Invariant(
        "revoked_credit_was_to_be_revoked",
        "Credit is revoked by its own reward's clawback, by a refusal of its friend's referral, which leaves none of "
        "the welcome credit, by the closing of its account, which leaves none at all, or when it comes back to a "
        "coupon that was withdrawn, and then no more than came back.",
        """
        WITH revoked AS (
            SELECT coupon_id, reference, -sum(amount) AS amount, max(balance_after) AS left_over
            FROM credits_couponentry WHERE type = 'REVOKE' GROUP BY coupon_id, reference
        ), returned AS (
            SELECT coupon_id, reference, sum(amount) AS amount
            FROM credits_couponentry WHERE type = 'RETURN' GROUP BY coupon_id, reference
        ), refused AS (
            SELECT DISTINCT referral.id, referral.friend_id
            FROM referrals_decision AS decision JOIN referrals_referral AS referral ON referral.id = referral_id
            WHERE decision.action = 'refuse'
        ), closed AS (
            SELECT id FROM accounts_user WHERE closed_at IS NOT NULL
        ), clawback AS (
            SELECT clawback.kind, referral.friend_id,
                   'clawback:' || clawback.kind || ':' || clawback.referral_id || ':' || clawback.n AS reference
            FROM referrals_clawback AS clawback
            JOIN referrals_referral AS referral ON referral.id = clawback.referral_id
        )
        SELECT coupon.id AS coupon, coupon.kind, coupon.customer_id AS customer, reference, revoked.amount,
               returned.amount AS returned
        FROM revoked
        JOIN credits_coupon AS coupon ON coupon.id = revoked.coupon_id
        LEFT JOIN returned USING (coupon_id, reference)
        LEFT JOIN refused ON refused.friend_id = coupon.customer_id AND coupon.kind = 'welcome'
        LEFT JOIN closed ON closed.id = coupon.customer_id
        LEFT JOIN clawback USING (reference)
        WHERE NOT CASE
            WHEN reference = 'closing:' || coupon.customer_id THEN closed.id IS NOT NULL AND revoked.left_over = 0
            WHEN clawback.kind IS NOT NULL AND coupon.friend_id IS NOT NULL THEN
                (clawback.friend_id, clawback.kind) = (coupon.friend_id, coupon.kind)
            WHEN reference = 'refusal:' || refused.id THEN revoked.left_over = 0
            ELSE returned.amount >= revoked.amount AND (refused.id IS NOT NULL OR coupon.withdrawn_at IS NOT NULL)
            END IS TRUE
        """,
    ),
    Invariant(
        "closed_account_has_nothing_left",
        "A closed account has nothing left on any coupon, each takes back nothing, and it owes nothing.",
        """
        WITH coupon AS (
            SELECT customer_id, sum(remaining) AS remaining, count(*) FILTER (WHERE withdrawn_at IS NULL) AS standing
            FROM credits_coupon GROUP BY customer_id
        ), debt AS (
            SELECT customer_id, sum(outstanding) AS outstanding FROM credits_debt GROUP BY customer_id
        )
        SELECT customer.id AS customer, customer.closed_at, coupon.remaining, coupon.standing, debt.outstanding
        FROM accounts_user AS customer
        LEFT JOIN coupon ON coupon.customer_id = customer.id
        LEFT JOIN debt ON debt.customer_id = customer.id
        WHERE customer.closed_at IS NOT NULL
          AND (coalesce(coupon.remaining, 0), coalesce(coupon.standing, 0), coalesce(debt.outstanding, 0)) <> (0, 0, 0)
        """,
    ),
    Invariant(
        "debt_is_written_off_with_its_account",
        "A debt is written off by the closing of its account, and by nothing else.",
        """
        SELECT entry.id AS entry, debt.id AS debt, debt.customer_id AS customer, entry.reference, customer.closed_at
        FROM credits_debtentry AS entry
        JOIN credits_debt AS debt ON debt.id = entry.debt_id
        JOIN accounts_user AS customer ON customer.id = debt.customer_id
        WHERE entry.type = 'WRITE_OFF'
          AND (customer.closed_at IS NULL OR entry.reference <> 'closing:' || debt.customer_id)
        """,
    ),
    Invariant(
        "first_coupons_are_by_the_terms",
        "Trial and welcome credit have the amount and the expiry of the terms in force at registration, "
        "and one source a customer; a difference that came later has the first one's expiry.",
        """
        WITH version AS MATERIALIZED (
            SELECT *, lead(starts_at, 1, 'infinity') OVER (ORDER BY starts_at) AS ends_at FROM referrals_programmeterms
        ), gift AS (
            SELECT coupon.*, customer.account_type, customer.registered_at,
                   coupon.source = coupon.kind || '-upgrade:' || coupon.customer_id AS is_upgrade,
                   coupon.kind || ':' || coupon.customer_id AS first_source,
                   CASE coupon.kind WHEN 'trial' THEN trial_individual ELSE welcome_individual END AS individual,
                   CASE coupon.kind WHEN 'trial' THEN trial_enterprise ELSE welcome_enterprise END AS enterprise,
                   CASE coupon.kind WHEN 'trial' THEN trial_valid_days ELSE credit_valid_days END
                       * interval '24 hours' AS validity
            FROM credits_coupon AS coupon
            JOIN accounts_user AS customer ON customer.id = coupon.customer_id
            LEFT JOIN version
                ON customer.registered_at >= version.starts_at AND customer.registered_at < version.ends_at
            WHERE coupon.kind IN ('trial', 'welcome')
        )
        SELECT gift.id AS coupon, gift.source, gift.amount, gift.individual, gift.enterprise, gift.account_type,
               gift.registered_at, gift.issued_at, gift.expires_at, gift.validity
        FROM gift LEFT JOIN credits_coupon AS first
            ON gift.is_upgrade AND first.source = gift.first_source
            AND first.customer_id = gift.customer_id AND first.kind = gift.kind
        WHERE CASE
            WHEN gift.source = gift.first_source THEN
                gift.issued_at >= gift.registered_at AND gift.expires_at = gift.issued_at + gift.validity
                AND (gift.amount = gift.individual
                     OR (gift.amount = gift.enterprise AND gift.account_type = 'enterprise'))
            WHEN gift.is_upgrade THEN
                gift.account_type = 'enterprise' AND first.amount = gift.individual
                AND gift.amount = gift.enterprise - gift.individual AND gift.expires_at = first.expires_at
            ELSE false END IS NOT TRUE
        """,
    ),
    Invariant(
        "disqualified_account_is_stopped",
        "A disqualified account's link is off and its credit is frozen.",
        """
        SELECT customer.id AS customer, customer.disqualified_at, account.frozen_at, link.switched_off_at
        FROM accounts_user AS customer
        LEFT JOIN credits_creditaccount AS account ON account.customer_id = customer.id
        LEFT JOIN referrals_referrallink AS link ON link.owner_id = customer.id
        WHERE customer.disqualified_at IS NOT NULL
          AND (account.frozen_at IS NULL OR (link.id IS NOT NULL AND link.switched_off_at IS NULL))
        """,
    ),
    Invariant(
        "frozen_credit_is_of_a_disqualified_account",
        "Credit is frozen only while its account is disqualified.",
        """
        SELECT account.customer_id AS customer, account.frozen_at
        FROM credits_creditaccount AS account JOIN accounts_user AS customer ON customer.id = account.customer_id
        WHERE account.frozen_at IS NOT NULL AND customer.disqualified_at IS NULL
        """,
    ),
)
