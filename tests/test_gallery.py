"""The page of components shows every component, and only where developers are."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.charts import Point, bar_chart
from tests.markup import faults
from tests.pages import words

ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = ["/dev/components/", "/dev/errors/404/"]
COMPONENTS = sorted(path.name for path in (ROOT / "templates" / "components").glob("*.html"))

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("setting", ["DEMO", "DEBUG"])
def test_it_is_there_for_developers_only(client: Client, settings: Settings, address: str, setting: str) -> None:
    assert client.get(address).status_code == 404
    setattr(settings, setting, True)
    assert client.get(address).status_code == 200


def test_every_component_is_shown_in_both_themes(client: Client, settings: Settings) -> None:
    settings.DEBUG = True
    answer = client.get(ADDRESSES[0])
    names = [template.name or "" for template in answer.templates]
    rendered = [Path(name).name for name in names if "components/" in name]
    missing = [name for name in COMPONENTS if rendered.count(name) < 2]
    assert missing == [], "templates/dev/_specimens.html does not show them"
    assert faults(answer.content.decode()) == []


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "429", "500"])
def test_every_error_page_is_shown(client: Client, settings: Settings, code: str) -> None:
    settings.DEBUG = True
    page = client.get(f"/dev/errors/{code}/").content.decode()
    assert f"Error {code[:3]}" in words(page)
    assert faults(page) == []


def test_an_error_that_is_none_is_not_found(client: Client, settings: Settings) -> None:
    settings.DEBUG = True
    assert client.get("/dev/errors/418/").status_code == 404


def test_a_browser_without_pairs_of_colours_has_the_light_ones() -> None:
    tokens = (ROOT / "static" / "css" / "tokens.css").read_text()
    first, fallback = tokens.split("@supports not")
    light = dict(re.findall(r"(--[\w-]+): light-dark\((#\w+), #\w+\);", first))
    assert light
    assert dict(re.findall(r"(--[\w-]+): (#\w+);", fallback)) == light


def test_columns_are_as_high_as_their_values() -> None:
    points = [Point("a", 0, "0"), Point("b", Decimal("0.01"), "$0.01"), Point("c", 50, "$50"), Point("d", 100, "$100")]
    chart = bar_chart(title="T", name_heading="N", value_heading="V", points=points)
    assert [(bar.x, bar.y, bar.height) for bar in chart.bars] == [(1, 100, 0), (11, 99, 1), (21, 50, 50), (31, 0, 100)]
    assert chart.width == 40
    assert chart.highest
    assert chart.highest.point.name == "d"


def test_a_chart_of_nothing_has_no_columns() -> None:
    chart = bar_chart(title="T", name_heading="N", value_heading="V", points=[])
    assert (chart.bars, chart.width, chart.highest) == ([], 0, None)
