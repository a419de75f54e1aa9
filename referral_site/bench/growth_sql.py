"""What the growth of tables is read from, and the statements that the server would run by itself."""

# What this connection has done is counted at once, not a second later.
COUNT_NOW = "SELECT pg_stat_force_next_flush()"

FORGET_SETTINGS = """
SELECT format('ALTER TABLE %s RESET (%s)', pg_class.oid::regclass, string_agg(option_name, ', '))
FROM pg_class CROSS JOIN LATERAL pg_options_to_table(reloptions)
WHERE relkind = 'r' AND relnamespace = current_schema::regnamespace
GROUP BY pg_class.oid
"""

SWITCH_OFF = """
SELECT format('ALTER TABLE %s SET (autovacuum_enabled = false)', oid::regclass)
FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema::regnamespace
"""

WITH_CREDIT = """
SELECT DISTINCT customer_id FROM credits_coupon WHERE kind = 'payout' AND expires_at >= %(end)s ORDER BY customer_id
"""

# The rule of autovacuum (Postgres 18): a table's own settings, else the server's.
DUE = """
WITH setting AS (
    SELECT pg_class.oid, name, coalesce(option_value, current_setting(name))::float8 AS value
    FROM pg_class CROSS JOIN unnest(ARRAY[
        'autovacuum_vacuum_threshold', 'autovacuum_vacuum_scale_factor', 'autovacuum_vacuum_max_threshold',
        'autovacuum_vacuum_insert_threshold', 'autovacuum_vacuum_insert_scale_factor',
        'autovacuum_analyze_threshold', 'autovacuum_analyze_scale_factor'
    ]) AS name
    LEFT JOIN LATERAL pg_options_to_table(reloptions) ON option_name = name
    WHERE relkind = 'r' AND relnamespace = current_schema::regnamespace
), rule AS (
    SELECT oid, jsonb_object_agg(replace(name, 'autovacuum_', ''), value) AS of FROM setting GROUP BY oid
), judged AS (
    SELECT stat.*, of, greatest(reltuples, 0) AS tuples,
           1 - coalesce(relallfrozen::float8 / nullif(relpages, 0), 0) AS unfrozen
    FROM pg_stat_user_tables AS stat JOIN pg_class ON pg_class.oid = relid JOIN rule ON rule.oid = relid
), due AS (
    SELECT relid,
           n_dead_tup > least((of ->> 'vacuum_threshold')::float8 + (of ->> 'vacuum_scale_factor')::float8 * tuples,
                              (of ->> 'vacuum_max_threshold')::float8)
           OR n_ins_since_vacuum > (of ->> 'vacuum_insert_threshold')::float8
                                   + (of ->> 'vacuum_insert_scale_factor')::float8 * tuples * unfrozen AS to_vacuum,
           n_mod_since_analyze > (of ->> 'analyze_threshold')::float8
                                 + (of ->> 'analyze_scale_factor')::float8 * tuples AS to_analyze
    FROM judged
)
SELECT CASE WHEN to_vacuum AND to_analyze THEN 'VACUUM (ANALYZE) ' WHEN to_vacuum THEN 'VACUUM ' ELSE 'ANALYZE ' END
       || relid::regclass
FROM due WHERE to_vacuum OR to_analyze ORDER BY relid
"""

WRITE_ANEW = """
SELECT format('VACUUM (FULL) %s', relid::regclass) FROM pg_stat_user_tables WHERE n_live_tup > 0 ORDER BY relid
"""

SIZES = """
SELECT relname, n_live_tup AS rows, n_dead_tup AS dead_rows, n_tup_upd AS updates, n_tup_hot_upd AS hot_updates,
       n_tup_ins + n_tup_upd + n_tup_del AS changes,
       vacuum_count AS vacuums, analyze_count AS analyzes,
       pg_table_size(relid) AS heap, pg_indexes_size(relid) AS index
FROM pg_stat_user_tables
"""
