"""An accounts file and the addresses that accounts have confirmed on the website."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command

from accounts.models import ImportRun, User
from tests.facts import register

pytestmark = pytest.mark.django_db(transaction=True)

Take = Callable[[str, str], list[str]]


@pytest.fixture
def take(tmp_path: Path) -> Callable[[str, str], list[str]]:
    """Import a file of one account; return the codes of its refusals."""

    def imported(name: str, email: str) -> list[str]:
        path = tmp_path / "accounts.csv"
        header = "account_id,email,account_type,country,registered_at,referred_by"
        path.write_text(f"{header}\n{name},{email},individual,DE,2026-01-01T00:00:00Z,\n")
        call_command("import_accounts", path, stdout=StringIO())
        return list(ImportRun.objects.latest("pk").refusals.values_list("code", flat=True))

    return imported


@pytest.mark.parametrize("email", ["former@example.com", "Former@Example.com"])
def test_address_that_another_account_has_confirmed_is_that_accounts(take: Take, email: str) -> None:
    alice = register("alice")
    EmailAddress.objects.create(user=alice, email="former@example.com", verified=True)
    assert take("bob", email) == ["email"]
    assert not User.objects.filter(account_id="bob").exists()


def test_address_that_another_account_never_confirmed_is_free(take: Take) -> None:
    alice = register("alice")
    EmailAddress.objects.create(user=alice, email="bob@example.com", verified=False)
    assert take("bob", "bob@example.com") == []
    assert EmailAddress.objects.get(user__account_id="bob", verified=True).email == "bob@example.com"


def test_account_that_is_read_again_is_a_duplicate_with_its_confirmed_address(take: Take) -> None:
    assert take("bob", "bob@example.com") == []
    assert take("bob", "bob@example.com") == []
    assert EmailAddress.objects.count() == 1
