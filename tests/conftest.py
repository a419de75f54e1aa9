"""The tests' own servers and database, and what every test may rely on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What a developer may have set for the product; the tests' product is the one of the defaults.
OF_THE_DEVELOPER = (
    "REFERRAL_ENVIRONMENT",
    "REFERRAL_DEMO",
    "DEBUG",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "IDENTITY_DIGEST_KEY",
    "ALLOWED_HOSTS",
    "SITE_URL",
    "EMAIL_URL",
    "DEFAULT_FROM_EMAIL",
    "MAIL_KEPT_DAYS",
    "OPERATOR_NAME",
    "HOST",
    "PORT",
    "TRUSTED_PROXIES",
    "PAYMENT_GATEWAY",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_API_BASE",
    "WEBHOOKS_ALLOW_PRIVATE",
    "WEBHOOKS_CA_FILE",
    "WEBHOOKS_KEPT_DAYS",
)

# Before Django reads its settings. Two test runs at once in one tree need a REFERRAL_DATA_DIR each.
for setting in OF_THE_DEVELOPER:
    os.environ.pop(setting, None)
# Whoever inherits this environment, or reads this file twice, gets the same directory again.
BASE = os.environ.setdefault("REFERRAL_TEST_BASE", os.environ.get("REFERRAL_DATA_DIR") or str(ROOT / "var"))
os.environ["REFERRAL_DATA_DIR"] = str(Path(BASE) / "test")
os.environ["REFERRAL_DURABLE"] = "0"
os.environ["DJANGO_SETTINGS_MODULE"] = "referral_site.settings"

import pgtrigger
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from referral_site import embedded
from referrals.remembered import Remembered
from tests import books, pristine

# As many random histories as the issue asks for, with no deadline: a history takes as long as its database takes.
for profile, histories in (("default", 200), ("long", 5000)):
    hypothesis_settings.register_profile(
        profile,
        max_examples=histories,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, and give each worker of pytest-xdist a cache of its own."""
    config.addinivalue_line(
        "markers", "untrue_rows(*invariants): rows that it writes itself break these, or any if none is named"
    )
    # The system's zone is not the product's: what depends on it fails here.
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()
    embedded.start(settings.EMBEDDED)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    settings.CACHES["default"]["LOCATION"] = f"{settings.REDIS_URL}?db={worker + 1}"
    # The product's hash is slow on purpose; a test signs in many times.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: object) -> Iterator[None]:
    """Remember the rows that the migrations load, and put them back after each test that commits."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:  # type: ignore[attr-defined]
        pristine.remember(connection)
        patch.setattr(TransactionTestCase, "_fixture_teardown", restore_database)
        yield
        connection.close()


def restore_database(case: TransactionTestCase) -> None:
    """Bring the database back to where the migrations left it, append-only tables too."""
    with pgtrigger.ignore():
        pristine.restore(connection)


@pytest.fixture(autouse=True)
def empty_cache(request: pytest.FixtureRequest) -> None:
    """Start every test that has a database with an empty cache: rate limits and visits are kept there."""
    if request.node.get_closest_marker("django_db"):
        cache.clear()
        Remembered.forget_all()


@pytest.fixture(autouse=True)
def clean_books(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prove the books after every test that commits, but for the invariants that it names as broken by its own rows."""
    marker = request.node.get_closest_marker("django_db")
    commits = bool(marker and marker.kwargs.get("transaction")) or "transactional_db" in request.fixturenames
    if not commits:
        yield
        return
    # Asked for here, so that the database is restored after this fixture, and not before.
    request.getfixturevalue("transactional_db")
    yield
    untrue = list(request.node.iter_markers("untrue_rows"))
    if all(marker.args for marker in untrue):
        books.assert_clean_audit(but_for={name for marker in untrue for name in marker.args})
