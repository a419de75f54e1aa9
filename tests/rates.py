"""Exchange rates as CurrencyConverter works them out, to judge the engine's by."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

from currency_converter import CurrencyConverter, RateNotFoundError

FIRST_DAY, LAST_DAY = date(2024, 12, 1), date(2026, 10, 30)


def rates_of(*currencies: str) -> dict[str, Mapping[date, Decimal]]:
    """Return what one unit of each currency was worth in dollars on each banking day of the histories."""
    return {currency: _rates(currency) for currency in currencies}


@cache
def _rates(currency: str) -> Mapping[date, Decimal]:
    days = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
    return {day: rate for day in days if (rate := rate_on(currency, day)) is not None}


def rate_on(currency: str, day: date) -> Decimal | None:
    """Return a currency's rate in dollars on a day; None where it was no banking day."""
    try:
        return Decimal(_converter().convert(Decimal(1), currency, "USD", date=day))
    except RateNotFoundError:
        return None


@cache
def _converter() -> CurrencyConverter:
    return CurrencyConverter(decimal=True)
