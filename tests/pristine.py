"""The database as the migrations left it, to return to after a test that commits.

Django's flush truncates every table and forgets the catalogue and the terms. Here only the tables that hold rows are
emptied, and those that a migration filled get their rows back where a test changed them. The exchange rates are left
alone: they are too many to compare, and whoever changes them does it in a transaction that is undone.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

REMEMBER = """
DROP SCHEMA IF EXISTS pristine CASCADE;
CREATE SCHEMA pristine;
DO $$
DECLARE
    name text;
    filled boolean;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('django_migrations', 'billing_exchangerate') LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%1$I)', name) INTO filled;
        IF filled THEN
            EXECUTE format('CREATE TABLE pristine.%1$I AS TABLE public.%1$I', name);
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION pristine.restore() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
    kept boolean;
    changed boolean;
    filled text[] := '{}';
BEGIN
    FOR name, kept IN
        SELECT tablename, to_regclass(format('pristine.%I', tablename)) IS NOT NULL
        FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('django_migrations', 'billing_exchangerate')
        ORDER BY 2
    LOOP
        IF kept THEN
            EXECUTE format(
                'SELECT EXISTS (TABLE public.%1$I EXCEPT TABLE pristine.%1$I)
                     OR EXISTS (TABLE pristine.%1$I EXCEPT TABLE public.%1$I)', name) INTO changed;
            IF changed THEN
                EXECUTE format('DELETE FROM public.%1$I', name);
                EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE pristine.%1$I', name);
            END IF;
        ELSE
            EXECUTE format('DELETE FROM public.%1$I', name);
        END IF;
    END LOOP;
END $$;
"""


def remember(connection: BaseDatabaseWrapper) -> None:
    """Copy what the tables hold now."""
    with connection.cursor() as cursor:
        cursor.execute(REMEMBER)


def restore(connection: BaseDatabaseWrapper) -> None:
    """Return to what was remembered; the triggers of append-only tables must be lifted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pristine.restore()")
