"""Production starts with everything it needs and nothing of the demo; secrets of development stay on the machine."""

import stat
from pathlib import Path

import pytest

from tests.running import manage

PRODUCTION = {
    "REFERRAL_ENVIRONMENT": "production",
    "SECRET_KEY": "only-for-this-test-" * 4,
    "IDENTITY_DIGEST_KEY": "only for this test",
    "ALLOWED_HOSTS": "referrals.example.com",
    "SITE_URL": "https://referrals.example.com",
    "DATABASE_URL": "postgres://nobody@localhost/nothing",
    "REDIS_URL": "redis://localhost:1/0",
    "EMAIL_URL": "smtp+tls://localhost:587",
    "DEFAULT_FROM_EMAIL": "referrals@example.com",
    "OPERATOR_NAME": "Example Cloud",
    "PAYMENT_GATEWAY": "stripe",
    "STRIPE_SECRET_KEY": "sk_live_only_for_this_test",
    "STRIPE_WEBHOOK_SECRET": "whsec_only_for_this_test",
}
NEEDED = sorted(PRODUCTION.keys() - {"REFERRAL_ENVIRONMENT"})


def test_production_with_all_its_settings_passes_every_check_without_a_warning() -> None:
    check = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert check.returncode == 0, check.stderr
    assert "WARNING" not in check.stderr


def test_production_names_every_missing_setting_at_once() -> None:
    check = manage("check", REFERRAL_ENVIRONMENT="production")

    assert check.returncode == 1
    assert all(f"{name} is not set" in check.stderr for name in NEEDED)
    assert "Traceback" not in check.stderr


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, " "])
def test_production_refuses_to_start_without(name: str, value: str | None) -> None:
    settings = {key: text for key, text in PRODUCTION.items() if key != name} | ({name: value} if value else {})

    check = manage("check", **settings)

    assert check.returncode == 1
    assert check.stderr == f"check: Production does not start: {name} is not set.\n"


@pytest.mark.parametrize("name", ["REFERRAL_DEMO", "DEBUG"])
def test_production_refuses_to_start_with(name: str) -> None:
    check = manage("check", **PRODUCTION, **{name: "1"})

    assert check.returncode == 1
    assert check.stderr == f"check: Production does not start: {name} must be off.\n"


def test_production_refuses_an_address_without_tls() -> None:
    check = manage("check", **PRODUCTION | {"SITE_URL": "http://referrals.example.com"})

    assert check.stderr == "check: Production does not start: SITE_URL must start with https://.\n"


def test_production_refuses_the_sandbox_of_payments() -> None:
    check = manage("check", **PRODUCTION | {"PAYMENT_GATEWAY": "sandbox"})

    assert check.stderr == "check: Production does not start: PAYMENT_GATEWAY must be stripe.\n"


@pytest.mark.parametrize("missing", ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"])
def test_stripe_without_its_keys_does_not_start_in_development_either(missing: str) -> None:
    keys = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}
    check = manage("check", PAYMENT_GATEWAY="stripe", **{name: key for name, key in keys.items() if name != missing})

    assert check.returncode == 1
    assert "it needs STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET" in check.stderr


def test_a_gateway_with_another_name_is_refused() -> None:
    check = manage("check", PAYMENT_GATEWAY="paypal")

    assert check.returncode == 1
    assert "PAYMENT_GATEWAY is 'paypal'" in check.stderr


def test_an_environment_with_another_name_is_refused() -> None:
    check = manage("check", REFERRAL_ENVIRONMENT="prod")

    assert check.returncode == 1
    assert "REFERRAL_ENVIRONMENT is 'prod'" in check.stderr


@pytest.mark.parametrize("port", ["http", "", "-1", "0", "65536", "80.5", "99999999999"])
def test_port_that_is_none_is_named(port: str) -> None:
    for command in ("check", "run"):
        answer = manage(command, PORT=port)

        assert answer.returncode == 1
        assert answer.stderr == f"{command}: PORT is {port!r}: it is a whole number from 1 to 65535.\n"


@pytest.mark.parametrize("port", ["1", "65535"])
def test_ports_at_the_border_are_ports(port: str) -> None:
    assert manage("check", PORT=port).returncode == 0


def test_host_that_is_none_is_named(tmp_path: Path) -> None:
    answer = manage("run", HOST="no such host", REFERRAL_DATA_DIR=str(tmp_path))

    assert answer.returncode == 1
    assert answer.stderr == "CommandError: HOST is 'no such host': that is no address.\n"


@pytest.mark.parametrize(("settings", "trusted"), [({}, 0), (PRODUCTION, 1), ({"TRUSTED_PROXIES": "2"}, 2)])
def test_proxies_are_trusted_as_many_as_there_are(settings: dict[str, str], trusted: int) -> None:
    shown = manage("diffsettings", **settings)

    assert f"ALLAUTH_TRUSTED_PROXY_COUNT = {trusted}  ###\n" in shown.stdout


def test_secrets_of_development_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    manage("check", REFERRAL_DATA_DIR=str(tmp_path))
    first = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    manage("check", REFERRAL_DATA_DIR=str(tmp_path))
    second = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    assert first == second
    assert first.keys() == {"SECRET_KEY", "IDENTITY_DIGEST_KEY"}
    assert first["SECRET_KEY"] != first["IDENTITY_DIGEST_KEY"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_a_check_starts_no_server(tmp_path: Path) -> None:
    manage("check", REFERRAL_DATA_DIR=str(tmp_path))

    assert {path.name for path in tmp_path.iterdir()} == {"secrets"}
