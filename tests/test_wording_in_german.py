"""How pages word labels, dates and rates for readers of German."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils import translation
from django.utils.html import strip_tags

from accounts.templatetags.wording import day, percent, sentence_case, unit_price

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("language", "label", "written"),
    [
        ("en", "Current Password", "Current password"),
        ("de", "Vollständiger Name", "Vollständiger Name"),
        ("de", "öffentlicher Vorname", "Öffentlicher Vorname"),
    ],
)
def test_a_label_keeps_its_capitals_where_nouns_have_them(language: str, label: str, written: str) -> None:
    with translation.override(language):
        assert sentence_case(label) == written


@pytest.mark.parametrize(
    ("at", "english", "german"),
    [
        (datetime(2026, 9, 5, 12, tzinfo=UTC), "5 Sep 2026", "5. Sept. 2026"),
        (datetime(2026, 5, 5, 12, tzinfo=UTC), "5 May 2026", "5. Mai 2026"),
    ],
)
def test_a_day_has_a_short_month_in_both(at: datetime, english: str, german: str) -> None:
    with translation.override("en"):
        assert strip_tags(day(at)) == english
    with translation.override("de"):
        assert strip_tags(day(at)) == german


@pytest.mark.parametrize(("rate", "english", "german"), [("0.1", "10%", "10"), ("0.125", "12.5%", "12,5")])
def test_a_rate_has_the_sign_as_the_language_sets_it(rate: str, english: str, german: str) -> None:
    with translation.override("en"):
        assert percent(Decimal(rate)) == english
    with translation.override("de"):
        assert percent(Decimal(rate)) == f"{german}{NBSP}%"


@pytest.mark.parametrize(
    ("price", "english", "german"),
    [
        ("8.5000", "$8.50", "8,50"),
        ("0.0190", "$0.019", "0,019"),
        ("0.0001", "$0.0001", "0,0001"),
        ("1234.5", "$1,234.50", "1.234,50"),
        ("100", "$100.00", "100,00"),
    ],
)
def test_a_price_has_as_many_decimals_as_it_needs(price: str, english: str, german: str) -> None:
    with translation.override("en"):
        assert unit_price(Decimal(price)) == english
    with translation.override("de"):
        assert unit_price(Decimal(price)) == f"{german}{NBSP}$"
