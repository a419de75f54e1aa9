"""Every public operation that writes or locks begins anew where the database undoes it, as seen from its code.

Private functions run within a public one; a public one that only other operations call, within theirs.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import import_module
from inspect import getsource, isfunction, unwrap
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction

from accounts import operations as of_accounts
from accounts import retries
from billing import operations as of_billing
from credits import operations as of_credits
from referrals import operations as of_referrals

APPS = ("accounts", "billing", "credits", "referrals", "referral_site")
OPERATIONS = (of_accounts, of_billing, of_credits, of_referrals)

A_RETRY = retries.retried(lambda: None).__code__

WRITING_SQL = re.compile(r"\b(INSERT|UPDATE|DELETE|COPY|TRUNCATE|CREATE|DROP|pg_advisory\w*)\b")
WRITING_CALL = re.compile(
    r"\.(save|create|update|delete|bulk_create|bulk_update|get_or_create|update_or_create|create_user"
    r"|create_superuser|set_password|copy_expert|select_for_update)\("
)


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "migrations" not in found.name:
            yield import_module(found.name)


def is_operation(thing: object) -> bool:
    """Whether this is a function that stands in one of the operations' modules."""
    return isfunction(thing) and any(f"{thing.__module__}.".startswith(f"{room.__name__}.") for room in OPERATIONS)


def is_retried(operation: object) -> bool:
    """Whether the retry is the outermost of what decorates it: outside the transaction, that is."""
    return getattr(operation, "__code__", None) is A_RETRY


def names_in(code: CodeType) -> set[str]:
    inner = [names_in(one) for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*inner)


def what_it_names(function: FunctionType) -> list[Any]:
    """Return the globals that a function names, and what it may name of the modules and enums among them."""
    bare = unwrap(function)
    words = names_in(bare.__code__)
    named = [bare.__globals__[word] for word in words if word in bare.__globals__]
    modules = [thing for thing in named if isinstance(thing, ModuleType)]
    enums = [thing for thing in named if isinstance(thing, type) and issubclass(thing, Enum)]
    return [
        *named,
        *[getattr(module, word) for module in modules for word in words if hasattr(module, word)],
        *[member.value for enum in enums for member in enum],
    ]


def writes(function: FunctionType) -> bool:
    statements = [thing for thing in what_it_names(function) if isinstance(thing, str)]
    return bool(WRITING_CALL.search(getsource(unwrap(function)))) or any(map(WRITING_SQL.search, statements))


def writes_unprotected(function: FunctionType, seen: frozenset[FunctionType] = frozenset()) -> bool:
    """Whether it writes, by itself or by operations that it calls, with no retry around."""
    if is_retried(function):
        return False
    called = [thing for thing in what_it_names(function) if is_operation(thing) and thing not in {*seen, function}]
    return writes(function) or any(writes_unprotected(one, seen | {function}) for one in called)


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the functions that a module defines, methods too, with their decorators."""
    own = [thing for thing in vars(module).values() if getattr(thing, "__module__", "") == module.__name__]
    for thing in own:
        methods = vars(thing).values() if isinstance(thing, type) else [thing]
        yield from (getattr(method, "__func__", method) for method in methods if isfunction(unwrap(method)))


def imported_by(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the operations that a module has at hand, by themselves or by their package."""
    for name, thing in vars(module).items():
        if is_operation(thing):
            yield thing
        elif thing in OPERATIONS and f"{module.__name__}.{name}" != thing.__name__:
            yield from (one for one in vars(thing).values() if is_operation(one))


def what_they_name(modules: Iterable[ModuleType]) -> Iterator[FunctionType]:
    for module in modules:
        for function in functions_of(module):
            yield from (one for one in what_it_names(function) if is_operation(one))


def exported() -> set[FunctionType]:
    things = [getattr(room, name) for room in OPERATIONS for name in room.__all__]
    return {thing for thing in things if is_operation(thing)}


def name_of(operation: FunctionType) -> str:
    return f"{operation.__module__}.{operation.__name__}"


def unprotected() -> set[str]:
    """Return the operations that write and are not begun anew, neither by themselves nor by each door that has them.

    One that neither a door nor another operation calls yet is for doors to come.
    """
    rooms = [module for room in OPERATIONS for module in modules_of(room)]
    doors = [door for app in APPS for door in modules_of(import_module(app)) if door not in rooms]
    at_hand = {door: set(imported_by(door)) for door in doors}
    unused = exported().difference(what_they_name(rooms), *at_hand.values())
    found = {name_of(operation) for operation in unused if writes_unprotected(operation)}
    for door, operations in at_hand.items():
        for operation in operations:
            callers = [one for one in functions_of(door) if operation in what_it_names(one)]
            if writes_unprotected(operation) and not (callers and all(map(is_retried, callers))):
                found.add(f"{door.__name__}: {name_of(operation)}")
    return found


RETRIED = {
    name_of(one): one
    for room in OPERATIONS
    for module in modules_of(room)
    for one in functions_of(module)
    if is_retried(one)
}


def test_every_operation_that_writes_begins_anew_when_it_is_undone() -> None:
    assert unprotected() == set()


@pytest.mark.parametrize("name", RETRIED)
def test_control_each_retry_that_is_taken_out_is_missed(name: str) -> None:
    """Private ones too: they stand for the public operation that calls them."""
    bare, seen_through = RETRIED[name], is_retried
    with patch(f"{__name__}.is_retried", lambda one: one is not bare and seen_through(one)):
        assert unprotected()


def test_control_a_retry_within_the_transaction_is_none() -> None:
    """Where the database has undone a transaction, nothing within it can begin anew."""

    @retries.retried
    @transaction.atomic
    def outside() -> None: ...

    @transaction.atomic
    @retries.retried
    def inside() -> None: ...

    assert (is_retried(outside), is_retried(inside)) == (True, False)
