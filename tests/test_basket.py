"""What an address says of a basket, and what a form does."""

from __future__ import annotations

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from billing.basket import Basket, Chosen, is_form, read_basket


def read(query: str) -> Basket:
    return read_basket(QueryDict(query))


def test_an_address_holds_products_and_quantities_in_order() -> None:
    assert read("item=oss:40&item=ecs:2").items == (Chosen("oss", 40), Chosen("ecs", 2))


def test_a_form_adds_changes_and_takes_away() -> None:
    basket = read("item=domain:1&item=ecs:2&item=oss:40&quantity.ecs=3&quantity.oss=&quantity.rds=1&quantity.waf=0")
    assert basket.items == (Chosen("domain", 1), Chosen("ecs", 3), Chosen("rds", 1))


@pytest.mark.parametrize("item", ["ecs", "ecs:", ":2", "ecs:-1", "ecs:1.5", "ecs:0", "ecs:two", "ecs:²", "ecs:1e3"])
def test_what_makes_no_sense_is_passed_over(item: str) -> None:
    assert read(f"item={item}&item=oss:1").items == (Chosen("oss", 1),)


def test_a_quantity_that_is_too_large_is_not_cut() -> None:
    assert read("item=ecs:999999999").items == (Chosen("ecs", 999999999),)
    assert read("item=ecs:9999999999").items == (Chosen("ecs", 9999999999),)
    assert read("item=ecs:99999999999").items == ()


def test_a_coupon_whose_tick_is_gone_is_left_out() -> None:
    assert read("offered=7&offered=8&use=8").without == {7}
    assert read("without=9&offered=7&use=7").without == {9}
    assert read("without=7&offered=7&use=7").without == frozenset()
    assert read("without=x&without=-1").without == frozenset()


def test_a_key_has_the_form_of_ours() -> None:
    ours = Basket().with_a_key().key
    assert read(f"key={ours}").key == ours
    assert read("key=short").key == ""
    assert read("key=" + "a" * 65).key == ""
    assert read("key=" + "ä" * 20).key == ""


def test_keys_are_never_the_same() -> None:
    assert len({Basket().with_a_key().key for _ in range(100)}) == 100


def test_only_a_form_is_one() -> None:
    assert is_form(QueryDict("quantity.ecs="))
    assert is_form(QueryDict("offered=7"))
    assert not is_form(QueryDict("item=ecs:2&without=7&key=0123456789abcdef&q=x"))


codes = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
baskets = st.builds(
    lambda items, without, key: Basket(
        tuple(Chosen(code, quantity) for code, quantity in items.items()), frozenset(without), key
    ),
    st.dictionaries(codes, st.integers(1, 999_999_999), max_size=5),
    st.sets(st.integers(0, 999_999_999), max_size=5),
    st.just("") | st.from_regex(r"[A-Za-z0-9_-]{16,64}", fullmatch=True),
)


@given(baskets)
def test_an_address_says_what_its_basket_is(basket: Basket) -> None:
    assert read(basket.query) == basket
