"""Spend in other currencies than the dollar (TERMS: Currencies)."""

import io
import zipfile
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.facts import Tally
from accounts.models import User
from billing.models import ExchangeRate, SpendEvent
from billing.reference_rates import BUNDLED, UnableToReadRates, read_rates
from referrals.models import Referral
from referrals.operations import track
from tests.facts import NOW, codes, fact, record, refund, register
from tests.rates import rate_on

pytestmark = pytest.mark.django_db

MONDAY = date(2026, 1, 5)
CENT = Decimal("0.01")
FILE = "Date,USD,JPY,XYZ,\n2026-11-02,1.2,180,N/A,\n2026-10-30,1.1172,175.68,N/A,\n"


@pytest.fixture
def bob() -> User:
    return register("bob", referred_by=register("alice"))


def paid(bob: User, currency: str, amount: str, at: str, **more: str) -> list[str]:
    return codes(record(fact(bob, f"{currency}-{amount}-{at}", amount, at, **more)._replace(currency=currency)))


def only() -> SpendEvent:
    return SpendEvent.objects.get()


@pytest.mark.parametrize("currency", ["EUR", "JPY", "GBP", "HUF", "IDR", "KRW", "ZAR"])
def test_a_payment_is_worth_its_amount_at_the_rate_of_its_day(bob: User, currency: str) -> None:
    rate = rate_on(currency, MONDAY)
    assert rate is not None
    assert paid(bob, currency, "123457", "2026-01-05T12:00:00Z") == []
    event = only()
    assert (event.original_currency, event.original_amount, event.rate_day) == (currency, 123457, MONDAY)
    assert event.amount.amount == (123457 * rate).quantize(CENT, rounding=ROUND_HALF_UP)
    assert abs(event.rate - rate) < Decimal("1e-15")


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-01-04T23:59:59.999999Z", date(2026, 1, 2)),  # a Sunday: Friday's
        ("2026-01-05T00:00:00Z", MONDAY),
        ("2026-01-05T00:30:00+01:00", date(2026, 1, 2)),  # still Sunday in UTC
        ("2026-04-06T10:00:00Z", date(2026, 4, 2)),  # Easter Monday: Maundy Thursday's
    ],
)
def test_the_rate_is_that_of_the_last_banking_day_in_utc(bob: User, at: str, day: date) -> None:
    assert paid(bob, "EUR", "10", at) == []
    assert only().rate_day == day


@pytest.mark.parametrize(("days_later", "code"), [(7, []), (8, ["currency"])])
def test_a_rate_serves_for_seven_days(bob: User, days_later: int, code: list[str]) -> None:
    ExchangeRate.objects.filter(currency="EUR", day__gt=MONDAY).delete()
    at = MONDAY + timedelta(days=days_later)
    assert paid(bob, "EUR", "10", f"{at}T23:59:59Z") == code


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("XXX", "10", "currency"),
        ("eur", "10", "currency"),
        ("DEM", "10", "currency"),
        ("HRK", "10", "currency"),  # Croatia has the euro since 2023
        ("JPY", "10.50", "amount"),
        ("JPY", "10.00", None),
        ("EUR", "10.50", None),
        ("EUR", "9999999999.99", None),
        ("GBP", "9999999999.99", None),
    ],
)
def test_what_a_currency_can_be(bob: User, currency: str, amount: str, code: str | None) -> None:
    assert paid(bob, currency, amount, "2026-01-05T12:00:00Z") == ([code] if code else [])


def test_a_reversal_has_the_currency_and_the_rate_of_its_payment(bob: User) -> None:
    record(fact(bob, "p", "100", "2026-01-05T12:00:00Z")._replace(currency="EUR"))
    in_dollars = refund(bob, "r", "10", "p")
    assert codes(record(in_dollars)) == ["currency"]
    assert codes(record(in_dollars._replace(currency="EUR", amount="100.01"))) == ["exceeds"]
    assert record(in_dollars._replace(currency="EUR")).tally == Tally(accepted=1)
    payment, reversal = SpendEvent.objects.order_by("pk")
    assert (reversal.rate, reversal.rate_day) == (payment.rate, payment.rate_day)
    assert reversal.amount.amount == (10 * payment.rate).quantize(CENT, rounding=ROUND_HALF_UP)


def test_a_reversal_that_waited_is_refused_where_its_payment_is_in_another_currency(bob: User) -> None:
    assert record(refund(bob, "r", "10", "p")._replace(currency="GBP")).tally == Tally(waiting=1)
    assert codes(record(fact(bob, "p", "100", "2026-01-05T12:00:00Z")._replace(currency="EUR"))) == ["currency"]
    assert codes(record(refund(bob, "s", "1", "q")._replace(currency="XXX"))) == ["currency"]


def test_the_net_in_dollars_is_the_net_in_its_currency_at_its_rate(bob: User) -> None:
    """Not the difference of two rounded amounts: 33.33 EUR less 11.11 EUR."""
    record(fact(bob, "p", "33.33", "2026-01-05T12:00:00Z")._replace(currency="EUR"))
    record(refund(bob, "r", "11.11", "p")._replace(currency="EUR"))
    track(now=NOW)
    rate = rate_on("EUR", MONDAY)
    assert rate is not None
    net = (Decimal("22.22") * rate).quantize(CENT, rounding=ROUND_HALF_UP)
    assert Referral.objects.get().qualifying_spend.amount == net


def test_the_same_fact_in_another_currency_is_a_conflict(bob: User) -> None:
    euros = fact(bob, "p", "5", "2026-01-05T12:00:00Z")._replace(currency="EUR")
    record(euros)
    assert record(euros._replace(amount="5.00")).tally == Tally(duplicate=1)
    assert codes(record(euros._replace(currency="USD"))) == ["conflict"]


def test_all_rates_of_the_file_that_ships_are_there() -> None:
    assert ExchangeRate.objects.count() == sum(1 for _ in read_rates(BUNDLED.read_bytes()))


@pytest.mark.parametrize("is_zipped", [True, False])
def test_the_banks_own_file_brings_the_rates_up_to_date(tmp_path: Path, is_zipped: bool) -> None:
    path = tmp_path / "rates"
    path.write_text(FILE)
    if is_zipped:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("eurofxref-hist.csv", FILE)
        path.write_bytes(content.getvalue())
    out = io.StringIO()
    call_command("update_exchange_rates", file=str(path), stdout=out)
    call_command("update_exchange_rates", file=str(path), stdout=out)
    assert out.getvalue() == "rates=2\nrates=0\n"
    assert ExchangeRate.objects.get(currency="EUR", day="2026-11-02").rate == Decimal("1.2")


@pytest.mark.parametrize("content", [b"", b"no,rates\n1,2\n", b"\xff\xfe", b"Date,USD\nyesterday,1\n", b"PK\x05\x06"])
def test_a_file_that_is_not_the_banks_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rates"
    path.write_bytes(content)
    with pytest.raises(UnableToReadRates):
        list(read_rates(content))
    with pytest.raises(CommandError, match="reference rates"):
        call_command("update_exchange_rates", file=str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("update_exchange_rates", file=str(tmp_path / "none"))
