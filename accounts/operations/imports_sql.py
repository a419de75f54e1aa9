"""The statements of an import of accounts, each over the whole file (TERMS: Facts that are refused)."""

# One import of accounts at a time: two at once could wait for each other's ids and addresses crosswise.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(20260102, 0)"

STAGE = """
CREATE TEMPORARY TABLE staged_account (
    line bigint, account_id text COLLATE "C", email text COLLATE "pg_c_utf8", account_type text COLLATE "C",
    country text COLLATE "C", registered_at text COLLATE "C", referred_by text COLLATE "C", is_address boolean
) ON COMMIT DROP
"""

COPY = """
COPY staged_account FROM STDIN
WITH (FORMAT csv, FORCE_NOT_NULL (account_id, email, account_type, country, registered_at, referred_by))
"""

STAGED = """
SELECT line, account_id, email, account_type, country, registered_at, referred_by FROM staged_account ORDER BY line
"""

STAGED_AMONG = "SELECT DISTINCT account_id FROM staged_account WHERE account_id = ANY(%(accounts)s)"

LEAVE_OUT_OTHERS = "DELETE FROM staged_account WHERE line <> ALL(%(lines)s)"

# An account that the file names twice with other content, or an address that two of its accounts claim, ties rows
# together: what becomes of one depends on what became of those before it. All other rows stand alone; where one is
# repeated word by word, `first_line` is where it stood first.
#
# An account is compared as it was imported, since verification may have changed its type; who signed up here, as the
# account is. Its registration and its referrer never change.
JUDGE = """
CREATE TEMPORARY TABLE judged_account ON COMMIT DROP AS
WITH formed AS MATERIALIZED (
    SELECT line, account_id, lower(email) AS address, account_type, country, referred_by, instant, CASE
        WHEN NOT is_id(account_id) OR (country <> '' AND NOT is_id(country)) THEN 'id'
        WHEN account_type NOT IN ('individual', 'enterprise') THEN 'type'
        WHEN instant IS NULL THEN 'time'
        WHEN NOT is_address THEN 'email' END AS form_fault
    FROM (SELECT *, rfc3339(registered_at) AS instant FROM staged_account OFFSET 0) AS parsed
), compared AS (
    SELECT formed.*, known.id IS NULL AND form_fault IS NULL AS is_new, CASE
            WHEN form_fault IS NOT NULL THEN form_fault
            WHEN known.id IS NULL THEN NULL
            WHEN known.registered_at = instant
             AND coalesce(known.signup_attribution #>> '{fact,email}', lower(known.email)) = address
             AND coalesce(known.signup_attribution #>> '{fact,account_type}', known.account_type) = formed.account_type
             AND coalesce(known.signup_attribution #>> '{fact,country}', known.country) = formed.country
             AND coalesce(known.signup_attribution ->> 'referred_by', '') = referred_by THEN 'duplicate'
            ELSE 'conflict' END AS settled, CASE
            WHEN instant > %(now)s + interval '5 minutes' OR instant < %(earliest)s THEN 'time'
            WHEN holder.id IS NOT NULL OR confirmed.id IS NOT NULL THEN 'email' END AS own_fault, CASE
            WHEN referred_by = '' THEN true
            WHEN referred_by = formed.account_id THEN false
            WHEN referrer.id IS NOT NULL THEN referrer.registered_at <= instant END AS referrer_counts,
        jsonb_build_array(address, formed.account_type, formed.country, instant, referred_by)::text COLLATE "C"
            AS content
    FROM formed
    LEFT JOIN accounts_user AS known ON known.account_id = formed.account_id
    LEFT JOIN accounts_user AS holder
        ON lower(holder.email) = address AND (holder.registered_at IS NOT NULL OR holder.is_staff)
    LEFT JOIN account_emailaddress AS confirmed ON confirmed.email = address COLLATE "default" AND confirmed.verified
    LEFT JOIN accounts_user AS referrer
        ON referrer.account_id = referred_by AND referrer.registered_at IS NOT NULL
), within_account AS (
    SELECT *, is_new AND min(content) OVER same_account <> max(content) OVER same_account AS is_contradicted,
           min(line) OVER same_account AS first_line
    FROM compared WINDOW same_account AS (PARTITION BY is_new, account_id)
), tied AS (
    SELECT *, is_new AND (
               is_contradicted OR min(account_id) OVER same_address <> max(account_id) OVER same_address) AS is_tied
    FROM within_account WINDOW same_address AS (PARTITION BY is_new, address)
)
SELECT line, account_id, address, account_type, country, instant AS registered_at, referred_by, content, is_tied,
       CASE WHEN is_new AND NOT is_tied THEN first_line ELSE line END AS first_line, own_fault, referrer_counts, CASE
           WHEN NOT is_new THEN settled
           WHEN NOT is_tied AND line = first_line THEN own_fault END AS verdict
FROM tied
"""

INDEX = """
CREATE INDEX ON judged_account (account_id);
CREATE INDEX ON judged_account (referred_by) WHERE verdict IS NULL AND NOT is_tied;
CREATE UNIQUE INDEX ON judged_account (line);
ANALYZE judged_account
"""

# Refuses who stands alone and has no referrer that could count, then those whom they refer, and so on. A circle of
# referrers at one instant has no such start and stays. OFFSET 0 keeps the recursion to one index look-up a row.
REFUSE_UNREFERRED = """
WITH RECURSIVE baseless (line, account_id) AS (
    SELECT friend.line, friend.account_id
    FROM judged_account AS friend
    WHERE verdict IS NULL AND NOT is_tied AND line = first_line AND NOT coalesce(referrer_counts, EXISTS (
        SELECT FROM judged_account AS referrer
        WHERE referrer.account_id = friend.referred_by AND referrer.verdict IS NULL AND referrer.own_fault IS NULL
          AND referrer.registered_at <= friend.registered_at))
    UNION
    SELECT friend.line, friend.account_id
    FROM baseless CROSS JOIN LATERAL (
        SELECT line, account_id FROM judged_account
        WHERE referred_by = baseless.account_id AND verdict IS NULL AND NOT is_tied AND line = first_line
          AND referrer_counts IS NULL
        OFFSET 0
    ) AS friend
)
UPDATE judged_account SET verdict = 'referrer' FROM baseless WHERE judged_account.line = baseless.line
"""

# The rows that are tied together, and whoever stands alone but is referred by one of them, directly or not.
# `referrer_counts` stays null only where that depends on another of these rows.
DOUBTFUL = """
WITH RECURSIVE doubtful (line, account_id) AS (
    SELECT line, account_id FROM judged_account WHERE is_tied AND verdict IS NULL
    UNION
    SELECT friend.line, friend.account_id
    FROM doubtful CROSS JOIN LATERAL (
        SELECT line, account_id FROM judged_account
        WHERE referred_by = doubtful.account_id AND verdict IS NULL AND NOT is_tied AND line = first_line
          AND referrer_counts IS NULL
        OFFSET 0
    ) AS friend
)
SELECT judged.line, judged.account_id, address, content, registered_at, referred_by, own_fault, is_tied,
       coalesce(referrer_counts, CASE
           WHEN referred_by IN (SELECT account_id FROM doubtful) THEN NULL
           ELSE EXISTS (
               SELECT FROM judged_account AS referrer
               WHERE referrer.account_id = judged.referred_by AND referrer.verdict IS NULL
                 AND referrer.line = referrer.first_line AND referrer.registered_at <= judged.registered_at) END)
FROM doubtful JOIN judged_account AS judged USING (line)
ORDER BY line
"""

SETTLE_DOUBTFUL = """
UPDATE judged_account SET verdict = doubtful.verdict
FROM unnest(%(lines)s::bigint[], %(verdicts)s::text[]) AS doubtful (line, verdict)
WHERE judged_account.line = doubtful.line
"""

SETTLE_OTHERS = """
UPDATE judged_account AS judged SET verdict = CASE
    WHEN first.verdict IS NOT NULL AND first.verdict <> 'accepted' THEN first.verdict
    WHEN judged.line = judged.first_line THEN 'accepted'
    ELSE 'duplicate' END
FROM judged_account AS first
WHERE first.line = judged.first_line AND judged.verdict IS NULL
"""

GIVING_WAY = """
SELECT sign_up.id FROM accounts_user AS sign_up
JOIN judged_account AS judged ON judged.address = lower(sign_up.email) AND judged.verdict = 'accepted'
WHERE sign_up.registered_at IS NULL AND NOT sign_up.is_staff
ORDER BY sign_up.id FOR UPDATE OF sign_up
"""

# The new keys stay in the database: those of a file of millions do not fit into the memory that reading it may take.
MAKE_REGISTERED = "CREATE TEMPORARY TABLE registered_account (id bigint, email text) ON COMMIT DROP"

REGISTER = """
WITH registered AS (
    INSERT INTO accounts_user (password, is_superuser, account_id, email, account_type, country, time_zone, created_at,
                               registered_at, signup_attribution, is_staff, is_active)
    SELECT %(password)s, false, account_id, address, account_type, country, 'UTC', %(now)s, registered_at,
           jsonb_strip_nulls(jsonb_build_object('referred_by', nullif(referred_by, ''), 'fact', jsonb_build_object(
               'email', address, 'account_type', account_type, 'country', country))), false, true
    FROM judged_account WHERE verdict = 'accepted' ORDER BY line
    ON CONFLICT DO NOTHING
    RETURNING id, email
)
INSERT INTO registered_account SELECT id, email FROM registered
"""

REGISTERED = "SELECT id FROM registered_account ORDER BY id"

CONFIRM_ADDRESSES = """
INSERT INTO account_emailaddress (user_id, email, verified, "primary")
SELECT id, email, true, true FROM registered_account ORDER BY id
ON CONFLICT DO NOTHING
"""

COUNT_VERDICTS = "SELECT verdict, count(*) FROM judged_account GROUP BY verdict"

KEEP_REFUSED = """
INSERT INTO accounts_refusedfact (run_id, line, code, message, fact)
SELECT %(run)s, line, code, message, jsonb_build_object(
           'account_id', staged.account_id, 'email', staged.email, 'account_type', staged.account_type,
           'country', staged.country, 'registered_at', staged.registered_at, 'referred_by', staged.referred_by)
FROM judged_account AS judged
JOIN unnest(%(codes)s::text[], %(messages)s::text[]) AS refusal (code, message) ON refusal.code = judged.verdict
JOIN staged_account AS staged USING (line)
ORDER BY line
"""

CLEAR = "DROP TABLE registered_account, judged_account, staged_account"
