from django.db import migrations

FORMS = r"""
CREATE FUNCTION is_id(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    value <> '' AND char_length(value) <= 100 AND value !~ '[\u0001-\u001f\u007f-\u009f]';

CREATE FUNCTION is_amount(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    value ~ '^[0-9]{1,10}(\.[0-9]{1,2})?$' AND value ~ '[1-9]';

-- The instant of an RFC 3339 time with its offset, cut off at the microsecond; null where it is none. One expression, so
-- that the planner can put it in place of the call. The first and the last year have no instant in every zone.
CREATE FUNCTION rfc3339(value text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE RETURN CASE
    WHEN value ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?'
                  '([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')
     AND left(value, 4) NOT IN ('0000', '0001', '9999')
     AND pg_input_is_valid(left(value, 10), 'date')
    THEN ((left(value, 10) || ' ' || substr(value, 12, 8) || coalesce(substring(value FROM '\.[0-9]{1,6}'), ''))::timestamp
          - coalesce(substring(value FROM '[+-][0-9]{2}:[0-9]{2}$'), '00:00')::interval) AT TIME ZONE 'UTC' END;

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
