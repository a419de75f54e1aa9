"""The books of the programme: referrals, what they earn, what was granted and taken back, and who decided what."""

from referral_site.audit.invariant import Invariant

INVARIANTS = (
    Invariant(
        "referral_keeps_the_terms_of_its_registration",
        "A referral has the version of the terms in force when its friend registered.",
        """
        WITH version AS (
            SELECT *, lead(starts_at, 1, 'infinity') OVER (ORDER BY starts_at) AS ends_at FROM referrals_programmeterms
        )
        SELECT referral.id AS referral, referral.registered_at, version.starts_at, version.ends_at
        FROM referrals_referral AS referral JOIN version ON version.id = referral.terms_id
        WHERE referral.registered_at < version.starts_at OR referral.registered_at >= version.ends_at
        """,
    ),
    Invariant(
        "referral_is_noted_as_written",
        "Each referral is noted at least once for those who ask what is new.",
        """
        WITH noted AS (SELECT DISTINCT referral_id FROM referrals_referralchange)
        SELECT referral.id AS referral, referral.created_at
        FROM referrals_referral AS referral LEFT JOIN noted ON noted.referral_id = referral.id
        WHERE noted.referral_id IS NULL
        """,
    ),
    Invariant(
        "referral_is_of_its_friends_registration",
        "A referral's registration is its friend's, and its bonus is due after the window and the wait.",
        """
        SELECT referral.id AS referral, referral.registered_at, friend.registered_at AS friend_registered_at,
               referral.bonus_due_at
        FROM referrals_referral AS referral
        JOIN accounts_user AS friend ON friend.id = referral.friend_id
        JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        WHERE (referral.registered_at, referral.bonus_due_at) IS DISTINCT FROM (
            friend.registered_at,
            friend.registered_at + (terms.bonus_window_days + terms.bonus_delay_days) * interval '24 hours')
        """,
    ),
    Invariant(
        "imported_friend_has_its_referrer",
        "A registered account that its file says was referred is a friend of that very referrer.",
        """
        SELECT friend.id AS friend, friend.signup_attribution ->> 'referred_by' AS referred_by,
               referral.id AS referral, referrer.account_id AS referrer
        FROM accounts_user AS friend
        LEFT JOIN referrals_referral AS referral ON referral.friend_id = friend.id
        LEFT JOIN accounts_user AS referrer ON referrer.id = referral.referrer_id
        WHERE friend.registered_at IS NOT NULL AND friend.signup_attribution ->> 'referred_by' <> ''
          AND friend.signup_attribution ->> 'referred_by' IS DISTINCT FROM referrer.account_id
        """,
    ),
    Invariant(
        "payout_is_due_after_the_wait",
        "A payout is due when the wait of its terms has passed since the friend qualified, and not before.",
        """
        SELECT referral.id AS referral, referral.qualified_at, referral.payout_due_at, terms.payout_delay_days
        FROM referrals_referral AS referral JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        WHERE referral.payout_due_at IS DISTINCT FROM
              referral.qualified_at + terms.payout_delay_days * interval '24 hours'
        """,
    ),
    Invariant(
        "referral_is_tracked_within_a_day",
        "A referral's spend has been looked at a day after it was made, at the latest.",
        """
        SELECT id AS referral, created_at
        FROM referrals_referral WHERE tracked_at IS NULL AND created_at < %(now)s - interval '24 hours'
        """,
    ),
    Invariant(
        "friend_registers_after_the_referrer",
        "A friend registered at the same instant as its referrer, or later; one who came by a link, but for the day by "
        "which the clock may have been set back in between.",
        """
        SELECT referral.id AS referral, referral.registered_at, referrer.registered_at AS referrer_registered_at
        FROM referrals_referral AS referral
        JOIN accounts_user AS referrer ON referrer.id = referral.referrer_id
        LEFT JOIN accounts_user AS friend ON friend.id = referral.friend_id
        WHERE referrer.registered_at IS NULL OR (
            referral.registered_at < referrer.registered_at
            AND (referral.registered_at < referrer.registered_at - interval '24 hours'
                 OR friend.signup_attribution ->> 'code' IS NULL))
        """,
    ),
    Invariant(
        "referral_earns_what_its_spend_says",
        "A tracked referral's sums, dates and earnings follow from all spend recorded, once its batches are applied.",
        """
        WITH pending AS (
            SELECT DISTINCT event.customer_id
            FROM billing_spendbatch AS batch JOIN billing_spendevent AS event ON event.batch_id = batch.id
            WHERE batch.applied_at IS NULL
            UNION
            SELECT customer_id FROM accounts_parkedrow
            WHERE kind = 'tracking' AND cleared_at IS NULL AND parked_at >= %(now)s - interval '24 hours'
        ), reversals AS (
            SELECT payment_id,
                   sum(CASE type WHEN 'chargeback_reversal' THEN original_amount ELSE -original_amount END) AS change
            FROM billing_spendevent WHERE payment_id IS NOT NULL AND qualifies GROUP BY payment_id
        ), net AS (
            SELECT payment.customer_id, payment.occurred_at, payment.event_id,
                   round((payment.original_amount + coalesce(reversals.change, 0)) * payment.rate, 2) AS net
            FROM billing_spendevent AS payment LEFT JOIN reversals ON reversals.payment_id = payment.id
            WHERE payment.type = 'payment' AND payment.qualifies
        ), running AS (
            SELECT *, sum(net) OVER (PARTITION BY customer_id ORDER BY occurred_at, event_id) AS so_far FROM net
        ), spend AS (
            SELECT referral.id, terms.*, referral.refused_at IS NOT NULL AS refused,
                   coalesce(sum(net), 0) AS qualifying_spend,
                   coalesce(sum(net) FILTER (
                       WHERE occurred_at < referral.registered_at + terms.bonus_window_days * interval '24 hours'
                   ), 0) AS window_spend,
                   min(occurred_at) FILTER (WHERE so_far >= terms.qualifying_threshold) AS qualified_at
            FROM referrals_referral AS referral
            JOIN (
                SELECT id AS version, payout, qualifying_threshold, payout_delay_days, bonus_rate, bonus_window_days,
                       cap_per_friend
                FROM referrals_programmeterms
            ) AS terms ON terms.version = referral.terms_id
            LEFT JOIN running ON running.customer_id = referral.friend_id
            WHERE referral.tracked_at IS NOT NULL
              AND NOT EXISTS (SELECT FROM pending WHERE pending.customer_id = referral.friend_id)
            GROUP BY referral.id, terms.version, payout, qualifying_threshold, payout_delay_days, bonus_rate,
                     bonus_window_days, cap_per_friend
        ), earned AS (
            SELECT *, qualified_at + payout_delay_days * interval '24 hours' AS payout_due_at,
                   CASE WHEN refused OR qualifying_spend < qualifying_threshold THEN 0 ELSE payout END AS payout_earned,
                   CASE WHEN refused OR qualifying_spend < qualifying_threshold THEN 0 ELSE least(
                       round(bonus_rate * greatest(0, window_spend - qualifying_threshold), 2), cap_per_friend - payout
                   ) END AS bonus_earned
            FROM spend
        )
        SELECT referral.id AS referral,
               referral.qualifying_spend, earned.qualifying_spend AS qualifying_spend_found,
               referral.window_spend, earned.window_spend AS window_spend_found,
               referral.qualified_at, earned.qualified_at AS qualified_at_found,
               referral.payout_due_at, earned.payout_due_at AS payout_due_at_found,
               referral.payout_earned, earned.payout_earned AS payout_earned_found,
               referral.bonus_earned, earned.bonus_earned AS bonus_earned_found
        FROM referrals_referral AS referral JOIN earned ON earned.id = referral.id
        WHERE (referral.qualifying_spend, referral.window_spend, referral.qualified_at, referral.payout_due_at,
               referral.payout_earned, referral.bonus_earned) IS DISTINCT FROM
              (earned.qualifying_spend, earned.window_spend, earned.qualified_at, earned.payout_due_at,
               earned.payout_earned, earned.bonus_earned)
        """,
    ),
    Invariant(
        "granted_is_rewards_less_clawbacks",
        "What a referral was granted is its rewards less what was revoked or became a debt; let go is its clawbacks'.",
        """
        WITH given AS (
            SELECT referral_id, coalesce(sum(amount) FILTER (WHERE kind = 'payout'), 0) AS payout,
                   coalesce(sum(amount) FILTER (WHERE kind = 'bonus'), 0) AS bonus
            FROM referrals_reward GROUP BY referral_id
        ), taken AS (
            SELECT referral_id, coalesce(sum(revoked + debt) FILTER (WHERE kind = 'payout'), 0) AS payout,
                   coalesce(sum(revoked + debt) FILTER (WHERE kind = 'bonus'), 0) AS bonus,
                   coalesce(sum(let_go) FILTER (WHERE kind = 'payout'), 0) AS payout_let_go,
                   coalesce(sum(let_go) FILTER (WHERE kind = 'bonus'), 0) AS bonus_let_go
            FROM referrals_clawback GROUP BY referral_id
        ), booked AS (
            SELECT referral_id, coalesce(given.payout, 0) - coalesce(taken.payout, 0) AS payout_granted,
                   coalesce(given.bonus, 0) - coalesce(taken.bonus, 0) AS bonus_granted,
                   coalesce(payout_let_go, 0) AS payout_let_go, coalesce(bonus_let_go, 0) AS bonus_let_go
            FROM given FULL JOIN taken USING (referral_id)
        )
        SELECT referral.id AS referral, referral.payout_granted, booked.payout_granted AS payout_granted_booked,
               referral.bonus_granted, booked.bonus_granted AS bonus_granted_booked,
               referral.payout_let_go, booked.payout_let_go AS payout_let_go_booked,
               referral.bonus_let_go, booked.bonus_let_go AS bonus_let_go_booked
        FROM referrals_referral AS referral LEFT JOIN booked ON booked.referral_id = referral.id
        WHERE (referral.payout_granted, referral.bonus_granted, referral.payout_let_go, referral.bonus_let_go) <>
              (coalesce(booked.payout_granted, 0), coalesce(booked.bonus_granted, 0),
               coalesce(booked.payout_let_go, 0), coalesce(booked.bonus_let_go, 0))
        """,
    ),
    Invariant(
        "granted_is_within_the_cap",
        "Nobody is granted more for a friend than the terms give at most.",
        """
        SELECT referral.id AS referral, referral.payout_granted, terms.payout, referral.bonus_granted, cap_per_friend
        FROM referrals_referral AS referral JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        WHERE referral.payout_granted > terms.payout OR referral.bonus_granted > terms.cap_per_friend - terms.payout
        """,
    ),
    Invariant(
        "let_go_is_within_what_expired",
        "What was let go of a reward is at most what expired unused on its coupons.",
        """
        WITH lapsed AS (
            SELECT friend_id, coalesce(sum(expired) FILTER (WHERE kind = 'payout'), 0) AS payout,
                   coalesce(sum(expired) FILTER (WHERE kind = 'bonus'), 0) AS bonus
            FROM credits_coupon WHERE friend_id IS NOT NULL GROUP BY friend_id
        )
        SELECT referral.id AS referral, referral.payout_let_go, lapsed.payout AS payout_expired,
               referral.bonus_let_go, lapsed.bonus AS bonus_expired
        FROM referrals_referral AS referral LEFT JOIN lapsed ON lapsed.friend_id = referral.friend_id
        WHERE referral.payout_let_go > coalesce(lapsed.payout, 0) OR referral.bonus_let_go > coalesce(lapsed.bonus, 0)
        """,
    ),
    Invariant(
        "rewards_are_numbered_from_one",
        "The grants of a reward are numbered 1, 2, 3 without a gap.",
        """
        SELECT referral_id AS referral, kind, count(*) AS grants, min(n) AS first, max(n) AS last
        FROM referrals_reward GROUP BY referral_id, kind HAVING min(n) <> 1 OR max(n) <> count(*)
        """,
    ),
    Invariant(
        "clawbacks_are_numbered_from_one",
        "The clawbacks of a reward are numbered 1, 2, 3 without a gap.",
        """
        SELECT referral_id AS referral, kind, count(*) AS clawbacks, min(n) AS first, max(n) AS last
        FROM referrals_clawback GROUP BY referral_id, kind HAVING min(n) <> 1 OR max(n) <> count(*)
        """,
    ),
    Invariant(
        "reward_follows_from_its_spend",
        "A grant is at most what the spend written beside it earned.",
        """
        SELECT reward.id AS reward, reward.kind, reward.amount, reward.earned, reward.qualifying_spend,
               reward.window_spend
        FROM referrals_reward AS reward
        JOIN referrals_referral AS referral ON referral.id = reward.referral_id
        JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        WHERE reward.amount > reward.earned OR reward.earned <> CASE
            WHEN reward.qualifying_spend < terms.qualifying_threshold THEN 0
            WHEN reward.kind = 'payout' THEN terms.payout
            ELSE least(round(terms.bonus_rate * greatest(0, reward.window_spend - terms.qualifying_threshold), 2),
                       terms.cap_per_friend - terms.payout) END
        """,
    ),
    Invariant(
        "clawback_follows_from_its_spend",
        "A clawback names what the spend written beside it earned, or that the referral was refused.",
        """
        SELECT clawback.id AS clawback, clawback.kind, clawback.refused, clawback.earned, clawback.qualifying_spend,
               clawback.window_spend
        FROM referrals_clawback AS clawback
        JOIN referrals_referral AS referral ON referral.id = clawback.referral_id
        JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        WHERE clawback.earned <> CASE
            WHEN clawback.refused OR clawback.qualifying_spend < terms.qualifying_threshold THEN 0
            WHEN clawback.kind = 'payout' THEN terms.payout
            ELSE least(round(terms.bonus_rate * greatest(0, clawback.window_spend - terms.qualifying_threshold), 2),
                       terms.cap_per_friend - terms.payout) END
        """,
    ),
    Invariant(
        "reward_waits_until_it_can_be_due",
        "No bonus is granted before it is due, and no payout before the wait that follows a registration.",
        """
        SELECT reward.id AS reward, reward.kind, reward.granted_at, referral.registered_at, referral.bonus_due_at
        FROM referrals_reward AS reward
        JOIN referrals_referral AS referral ON referral.id = reward.referral_id
        JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        WHERE reward.granted_at < CASE reward.kind
            WHEN 'bonus' THEN referral.bonus_due_at
            ELSE referral.registered_at + terms.payout_delay_days * interval '24 hours' END
        """,
    ),
    Invariant(
        "reward_coupon_is_the_rewards",
        "The coupon of a grant is its referrer's, names its friend and kind, is worth what no debt took, and has the "
        "expiry of the terms.",
        """
        SELECT reward.id AS reward, coupon.id AS coupon, coupon.customer_id AS customer, coupon.friend_id AS friend,
               coupon.kind, coupon.source, coupon.amount, reward.amount AS granted, reward.debts_settled,
               coupon.issued_at, reward.granted_at, coupon.expires_at
        FROM referrals_reward AS reward
        JOIN referrals_referral AS referral ON referral.id = reward.referral_id
        JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
        JOIN credits_coupon AS coupon ON coupon.id = reward.coupon_id
        WHERE (coupon.customer_id, coupon.friend_id, coupon.kind, coupon.source, coupon.amount, coupon.issued_at,
               coupon.expires_at) IS DISTINCT FROM (
            referral.referrer_id, referral.friend_id, reward.kind,
            reward.kind || ':' || reward.referral_id || ':' || reward.n, reward.amount - reward.debts_settled,
            reward.granted_at, reward.granted_at + terms.credit_valid_days * interval '24 hours')
        """,
    ),
    Invariant(
        "coupon_of_a_reward_has_its_reward",
        "A payout's or bonus's coupon comes from a grant.",
        """
        SELECT coupon.id AS coupon, coupon.kind, coupon.source, coupon.amount
        FROM credits_coupon AS coupon LEFT JOIN referrals_reward AS reward ON reward.coupon_id = coupon.id
        WHERE coupon.kind IN ('payout', 'bonus') AND reward.id IS NULL
        """,
    ),
    Invariant(
        "reward_settles_its_referrers_debts",
        "What a grant settled stands on debts of its own referrer, in full, and debts are settled by grants alone.",
        """
        WITH settled AS (
            SELECT entry.reference, -sum(entry.amount) AS amount, min(debt.customer_id) AS customer_id,
                   max(debt.customer_id) AS last_customer_id
            FROM credits_debtentry AS entry JOIN credits_debt AS debt ON debt.id = entry.debt_id
            WHERE entry.type = 'SETTLE' GROUP BY entry.reference
        ), reward AS (
            SELECT reward.*, referral.referrer_id,
                   reward.kind || ':' || reward.referral_id || ':' || reward.n AS reference
            FROM referrals_reward AS reward JOIN referrals_referral AS referral ON referral.id = reward.referral_id
            WHERE debts_settled <> 0
        )
        SELECT reward.id AS reward, reference, reward.debts_settled, settled.amount AS settled,
               reward.referrer_id AS referrer, settled.customer_id AS debtor
        FROM reward FULL JOIN settled USING (reference)
        WHERE (reward.debts_settled, reward.referrer_id, reward.referrer_id) IS DISTINCT FROM
              (settled.amount, settled.customer_id, settled.last_customer_id)
        """,
    ),
    Invariant(
        "clawback_opens_its_debt",
        "What a clawback left as a debt is its referrer's debt for that reward; debts come from clawbacks alone.",
        """
        WITH owed AS (
            SELECT clawback.id, clawback.debt, clawback.kind, clawback.clawed_back_at, referral.referrer_id,
                   referral.friend_id,
                   'clawback:' || clawback.kind || ':' || clawback.referral_id || ':' || clawback.n AS source
            FROM referrals_clawback AS clawback
            JOIN referrals_referral AS referral ON referral.id = clawback.referral_id
            WHERE clawback.debt <> 0
        )
        SELECT owed.id AS clawback, owed.debt AS owed, debt.id AS debt, debt.amount, source
        FROM owed FULL JOIN credits_debt AS debt USING (source)
        WHERE (owed.debt, owed.referrer_id, owed.friend_id, owed.kind, owed.clawed_back_at) IS DISTINCT FROM
              (debt.amount, debt.customer_id, debt.friend_id, debt.kind, debt.opened_at)
        """,
    ),
    Invariant(
        "clawback_revokes_its_rewards_coupons",
        "What a clawback revoked, and what came back of it later and made its debt good, stands on coupons of that "
        "reward, in full.",
        """
        WITH revoked AS (
            SELECT entry.reference, -sum(entry.amount) AS amount, min(coupon.friend_id) AS friend_id,
                   max(coupon.friend_id) AS last_friend_id, min(coupon.kind) AS kind, max(coupon.kind) AS last_kind
            FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
            WHERE entry.type = 'REVOKE' AND starts_with(entry.reference, 'clawback:') AND coupon.friend_id IS NOT NULL
            GROUP BY entry.reference
        ), made_good AS (
            SELECT debt.source, -sum(entry.amount) AS amount
            FROM credits_debtentry AS entry JOIN credits_debt AS debt ON debt.id = entry.debt_id
            WHERE entry.type = 'RETURN' GROUP BY debt.source
        ), clawback AS (
            SELECT clawback.*, referral.friend_id,
                   'clawback:' || clawback.kind || ':' || clawback.referral_id || ':' || clawback.n AS reference
            FROM referrals_clawback AS clawback
            JOIN referrals_referral AS referral ON referral.id = clawback.referral_id
        ), taken AS (
            SELECT clawback.id, clawback.kind, clawback.friend_id, reference,
                   clawback.revoked + coalesce(made_good.amount, 0) AS amount
            FROM clawback LEFT JOIN made_good ON made_good.source = reference
            WHERE clawback.revoked + coalesce(made_good.amount, 0) <> 0
        )
        SELECT taken.id AS clawback, reference, taken.amount, revoked.amount AS revoked_booked
        FROM taken FULL JOIN revoked USING (reference)
        WHERE (taken.amount, taken.friend_id, taken.friend_id, taken.kind, taken.kind) IS DISTINCT FROM
              (revoked.amount, revoked.friend_id, revoked.last_friend_id, revoked.kind, revoked.last_kind)
        """,
    ),
    Invariant(
        "referral_is_held_while_a_hold_is_open",
        "A referral is held if, and only if, a flag of severity hold is open on it.",
        """
        WITH open_hold AS (
            SELECT DISTINCT referral_id FROM referrals_fraudflag WHERE closed_at IS NULL AND severity = 'hold'
        )
        SELECT referral.id AS referral, referral.held
        FROM referrals_referral AS referral LEFT JOIN open_hold ON open_hold.referral_id = referral.id
        WHERE referral.held <> (open_hold.referral_id IS NOT NULL)
        """,
    ),
    Invariant(
        "refusal_was_decided",
        "A referral is refused if, and only if, the last decision about that was to refuse it.",
        """
        WITH last AS (
            SELECT DISTINCT ON (referral_id) referral_id, action FROM referrals_decision
            WHERE action IN ('refuse', 'lift_refusal') ORDER BY referral_id, id DESC
        )
        SELECT referral.id AS referral, referral.refused_at, last.action
        FROM referrals_referral AS referral LEFT JOIN last ON last.referral_id = referral.id
        WHERE (referral.refused_at IS NOT NULL) <> (last.action IS NOT DISTINCT FROM 'refuse')
        """,
    ),
    Invariant(
        "disqualification_was_decided",
        "An account is disqualified if, and only if, the last decision about that was to disqualify it.",
        """
        WITH last AS (
            SELECT DISTINCT ON (customer_id) customer_id, action FROM referrals_decision
            WHERE action IN ('disqualify', 'reinstate') ORDER BY customer_id, id DESC
        )
        SELECT customer.id AS customer, customer.disqualified_at, last.action
        FROM accounts_user AS customer LEFT JOIN last ON last.customer_id = customer.id
        WHERE (customer.disqualified_at IS NOT NULL) <> (last.action IS NOT DISTINCT FROM 'disqualify')
        """,
    ),
    Invariant(
        "closed_account_is_shut",
        "A closed account's link is off, its address is free, and the digest of that address stays known.",
        """
        WITH known AS (SELECT DISTINCT customer_id FROM accounts_knownidentifier WHERE kind = 'email')
        SELECT customer.id AS customer, customer.closed_at, link.switched_off_at, customer.email, known.customer_id
        FROM accounts_user AS customer
        LEFT JOIN referrals_referrallink AS link ON link.owner_id = customer.id
        LEFT JOIN known ON known.customer_id = customer.id
        WHERE customer.closed_at IS NOT NULL
          AND ((link.id IS NOT NULL AND link.switched_off_at IS NULL)
               OR customer.email NOT LIKE '%%@closed.invalid' OR known.customer_id IS NULL)
        """,
    ),
    Invariant(
        "payment_methods_are_what_is_on_file",
        "An account has a payment method since the first and until the last that is on file; where none is, or all had "
        "expired, it may have one as a fact, which has no end.",
        """
        WITH on_file AS (
            SELECT customer_id, min(added_at) AS since,
                   CASE WHEN count(*) = count(expires_at) THEN max(expires_at) END AS expires_at,
                   max(coalesce(expires_at, 'infinity')) AS ended_at
            FROM billing_paymentmethod WHERE removed_at IS NULL GROUP BY customer_id
        )
        SELECT account.id AS account, payment_method_added_at, since, payment_method_expires_at, expires_at
        FROM accounts_user AS account LEFT JOIN on_file ON on_file.customer_id = account.id
        WHERE (payment_method_added_at, payment_method_expires_at) IS DISTINCT FROM (since, expires_at)
          AND (payment_method_expires_at IS NOT NULL OR payment_method_added_at IS NULL
               OR payment_method_added_at < ended_at)
        """,
    ),
)
