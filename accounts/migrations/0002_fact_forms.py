from django.db import migrations

FORMS = r"""
CREATE FUNCTION is_id(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    value <> '' AND char_length(value) <= 100 AND value !~ '[\u0001-\u001f\u007f-\u009f]';

CREATE FUNCTION is_amount(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    value ~ '^[0-9]{1,10}(\.[0-9]{1,2})?$' AND value ~ '[1-9]';

-- The instant of an RFC 3339 time with its offset, to the microsecond; null where it is none.
CREATE FUNCTION rfc3339(value text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE RETURN (
    SELECT CASE
        WHEN instant BETWEEN '0001-01-01 00:00Z' AND '9999-12-31 23:59:59.999999Z'
         AND (second <> '60' OR date_trunc('minute', instant AT TIME ZONE 'UTC')::time = '00:00') THEN instant END
    FROM (SELECT CASE
              WHEN value ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?'
                            '([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')
               AND pg_input_is_valid(wall_clock, 'timestamp')
              THEN (wall_clock::timestamp - zone_offset::interval) AT TIME ZONE 'UTC' END AS instant,
              substr(value, 18, 2) AS second
          FROM (SELECT
                    substr(value, 1, 10) || ' ' || substr(value, 12, 8)
                    || coalesce(substring(value FROM '\.[0-9]{1,6}'), '') AS wall_clock,
                    coalesce(substring(value FROM '[+-][0-9]{2}:[0-9]{2}$'), '00:00') AS zone_offset
          ) AS split
    ) AS parsed
);

-- An instant as every export writes it: RFC 3339 in UTC, with a fraction only where there is one.
CREATE FUNCTION utc_text(value timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE RETURN
    to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
    || CASE WHEN date_trunc('second', value) = value THEN '' ELSE to_char(value AT TIME ZONE 'UTC', '.US') END || 'Z';
"""

UNDO = """
DROP FUNCTION utc_text(timestamptz);
DROP FUNCTION rfc3339(text);
DROP FUNCTION is_amount(text);
DROP FUNCTION is_id(text);
"""


class Migration(migrations.Migration):
    """What the form of a fact is (TERMS: Facts that are refused), once, for every statement that judges facts."""

    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunSQL(FORMS, UNDO)]
