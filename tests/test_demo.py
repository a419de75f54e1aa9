"""The demo: its people, and the doors that only it has."""

import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.mail import send_mail
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.http import HttpResponseBase
from django.test import Client
from pytest_django import Settings

from accounts import clock
from accounts.models import ClockOffset, OutboxMessage, User
from accounts.operations.demo_clock import (
    UnableToMoveClock,
    UnableToOpenDemoLogin,
    hire_demo_staff,
    move_clock,
    open_demo_login,
)
from billing.models import SpendEvent
from credits.models import Coupon, CouponEntry, Debt
from referral_site.celery import app
from referral_site.demo.jobs import send_jobs
from referral_site.demo.story import FRIEND, LOGINS, REFERRER, STAFF, load_demo
from referrals.models import Referral, Reward
from referrals.queries.stages import Stage, stage
from tests.newcomers import fill_in

PASSWORD = "refer-a-friend"


@pytest.fixture
def demo(settings: Settings) -> None:
    settings.DEMO = True
    settings.DEMO_PASSWORD = PASSWORD


@pytest.fixture
def story(demo: None, transactional_db: None) -> datetime:
    now = datetime.now(UTC)
    load_demo(now=now)
    return now


@pytest.fixture
def worker() -> Iterator[None]:
    """Jobs run where they are sent; the browser test has a real worker."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr("referral_site.demo.jobs.LONGEST_WAIT", timedelta())
    forget_connections()
    assert not send_jobs()
    yield
    forget_connections()


def forget_connections() -> None:
    """Let Celery connect anew."""
    vars(app)["_pool"] = None
    vars(app.amqp)["_producer_pool"] = None


def referral(name: str) -> Referral:
    return Referral.objects.annotate(stage=stage()).get(friend__email=f"{name}@example.com")


def signed_in(client: Client, who: str = "referrer") -> Client:
    client.post(f"/dev/sign-in/{who}/")
    return client


def press(client: Client, button: str, name: str, **fields: str) -> HttpResponseBase:
    url = f"/dev/friends/{referral(name).pk}/{button}/"
    return client.post(url, fields)


# The story


def test_friends_stand_at_every_stage(story: datetime) -> None:
    stages = {row.friend.email.split("@")[0]: row.stage for row in Referral.objects.annotate(stage=stage())}  # type: ignore[attr-defined]
    assert stages == {
        "friend": Stage.JOINED,
        "hiro": Stage.JOINED,
        "elena": Stage.QUALIFIED,
        "fatima": Stage.HELD,
        "gustav": Stage.REFUSED,
        "dmitri": Stage.PAID,
        "beatriz": Stage.PAID,
        "carlos": Stage.CLAWED_BACK,
        "amelia": Stage.PAID,
    }


@pytest.mark.parametrize("today", [datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 1, 31, 23, 59, tzinfo=UTC)])
def test_no_two_friends_joined_in_one_month(demo: None, transactional_db: None, today: datetime) -> None:
    load_demo(now=today)
    joined = [(row.registered_at.year, row.registered_at.month) for row in Referral.objects.all()]
    assert len(set(joined)) == len(joined) == 9


def test_twenty_dollars_arrive_in_three_days(story: datetime) -> None:
    elena = referral("elena")
    assert elena.payout_due_at == story + timedelta(days=3)
    assert (elena.payout_earned.amount, elena.payout_granted.amount) == (Decimal(20), 0)


def test_one_friend_is_part_way_and_one_has_spent_nothing(story: datetime) -> None:
    assert referral("hiro").qualifying_spend.amount == Decimal("12.50")
    assert referral("friend").qualifying_spend.amount == 0


def test_one_bonus_is_on_its_way_and_one_is_paid(story: datetime) -> None:
    coming, paid = referral("dmitri"), referral("beatriz")
    assert (coming.payout_granted.amount, coming.bonus_granted.amount) == (Decimal(20), 0)
    assert (coming.bonus_earned.amount, coming.bonus_due_at) == (Decimal(6), story + timedelta(days=21))
    assert (paid.payout_granted.amount, paid.bonus_granted.amount) == (Decimal(20), Decimal(30))


def test_what_was_spent_of_a_clawed_back_payout_is_a_debt(story: datetime) -> None:
    debt = Debt.objects.get()
    assert (debt.friend.email, debt.outstanding.amount) == ("carlos@example.com", Decimal(6))
    assert referral("carlos").payout_granted.amount == 0


def test_one_coupon_is_used_in_part_and_one_has_expired(story: datetime) -> None:
    used = Coupon.objects.get(friend__email="beatriz@example.com", kind="payout")
    lapsed = Coupon.objects.get(friend__email="amelia@example.com", kind="payout")
    assert (used.redeemed.amount, used.remaining.amount) == (Decimal(7), Decimal(13))
    assert (lapsed.redeemed.amount, lapsed.expired.amount, lapsed.remaining.amount) == (Decimal(12), Decimal(8), 0)


def test_referrer_has_a_link_and_the_friend_has_welcome_credit(story: datetime) -> None:
    assert User.objects.get(email=REFERRER).referral_link.code
    welcome = Coupon.objects.credit().get(customer__customer__email=FRIEND)
    assert (welcome.kind, welcome.remaining.amount) == ("welcome", Decimal(5))


def test_books_of_the_demo_are_sound(story: datetime) -> None:
    call_command("audit")


def test_loading_twice_changes_nothing(story: datetime) -> None:
    def everything() -> list[object]:
        tables = [User, Referral, Reward, Coupon, CouponEntry, Debt, SpendEvent]
        return [list(table._default_manager.order_by("pk").values()) for table in tables]

    before = everything()
    assert load_demo(now=story + timedelta(days=1)) is False
    assert everything() == before


def test_command_prints_who_can_sign_in(demo: None, transactional_db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("demo")
    printed = capsys.readouterr().out
    assert all(login in printed for login in LOGINS)
    assert PASSWORD in printed


@pytest.mark.django_db
def test_command_is_for_the_demo_only() -> None:
    with pytest.raises(CommandError, match="REFERRAL_DEMO"):
        call_command("demo")
    assert not User.objects.exists()


@pytest.mark.parametrize("email", LOGINS)
def test_logins_have_the_password(story: datetime, client: Client, email: str) -> None:
    client.post("/accounts/login/", {"login": email, "password": PASSWORD})
    assert client.session["_auth_user_id"] == str(User.objects.get(email=email).pk)


# The doors


@pytest.mark.django_db
@pytest.mark.parametrize(
    "door",
    [
        "/dev/clock/",
        "/dev/mail/",
        "/dev/sign-in/referrer/",
        "/dev/sign-in/staff/",
        "/dev/friends/1/spend/",
        "/dev/friends/1/refund/",
    ],
)
def test_no_door_opens_outside_the_demo(client: Client, door: str) -> None:
    assert client.get(door).status_code == 404
    assert client.post(door, {"days": "30"}).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "door", ["/dev/clock/", "/dev/sign-in/staff/", "/dev/friends/1/spend/", "/dev/friends/1/refund/"]
)
def test_no_door_moves_anything_without_a_csrf_token(demo: None, door: str) -> None:
    assert Client(enforce_csrf_checks=True).post(door, {"days": "30"}).status_code == 403


@pytest.mark.parametrize("door", ["/dev/sign-in/staff/", "/dev/friends/1/spend/", "/dev/friends/1/refund/"])
def test_no_door_moves_anything_by_a_mere_link(story: datetime, client: Client, door: str) -> None:
    assert signed_in(client).get(door).status_code == 405


@pytest.mark.parametrize(("who", "email"), [("referrer", REFERRER), ("friend", FRIEND), ("staff", STAFF)])
def test_one_click_signs_in(story: datetime, client: Client, who: str, email: str) -> None:
    answer = client.post(f"/dev/sign-in/{who}/", follow=True)
    assert answer.status_code == 200
    assert client.session["_auth_user_id"] == str(User.objects.get(email=email).pk)


@pytest.mark.django_db
def test_nobody_else_signs_in_by_a_click(demo: None, client: Client) -> None:
    assert client.post("/dev/sign-in/hiro/").status_code == 404
    assert client.post("/dev/sign-in/referrer/").status_code == 404  # not loaded


@pytest.mark.parametrize(("days", "granted"), [(1, 0), (30, 20)])
def test_moved_clock_brings_what_is_due(story: datetime, worker: None, client: Client, days: int, granted: int) -> None:
    client.post("/dev/clock/", {"days": str(days)})
    assert ClockOffset.objects.get().ahead == timedelta(days=days)
    assert referral("elena").payout_granted.amount == granted
    call_command("audit")


def test_moved_clock_expires_coupons_and_pays_bonuses(story: datetime, worker: None, client: Client) -> None:
    client.post("/dev/clock/", {"days": "180"})
    assert referral("dmitri").bonus_granted.amount == Decimal(6)
    assert not Coupon.objects.filter(expires_at__lte=clock.now(), remaining__gt=0).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("days", ["", "0", "-30", "31", "x"])
def test_clock_moves_by_its_steps_only(demo: None, client: Client, days: str) -> None:
    assert client.post("/dev/clock/", {"days": days}).status_code == 400
    assert not ClockOffset.objects.exists()


@pytest.mark.django_db
def test_friends_purchase_counts_and_its_refund_takes_it_back(story: datetime, worker: None, client: Client) -> None:
    press(signed_in(client), "spend", "friend", next="/")
    client.post("/dev/clock/", {"days": "30"})
    assert referral("friend").payout_granted.amount == Decimal(20)

    press(client, "refund", "friend", next="/")
    assert (referral("friend").payout_granted.amount, referral("friend").stage) == (0, Stage.CLAWED_BACK)  # type: ignore[attr-defined]
    call_command("audit")


def test_every_press_is_a_purchase_of_its_own(story: datetime, worker: None, client: Client) -> None:
    for _ in range(2):
        press(signed_in(client), "spend", "friend")
    paid = SpendEvent.objects.filter(customer__email=FRIEND).aggregate(total=Sum("amount"))
    assert paid["total"] == Decimal(50)


def test_refund_takes_what_is_left_of_the_latest_purchase(story: datetime, worker: None, client: Client) -> None:
    for expected in ("100.00", "220.00"):
        press(signed_in(client), "refund", "beatriz")
        assert SpendEvent.objects.latest("pk").amount.amount == Decimal(expected)
    press(client, "refund", "beatriz")
    assert b"no purchase to refund" in client.get("/dev/mail/").content


def test_refused_purchase_is_said(demo: None, transactional_db: None, worker: None, client: Client) -> None:
    load_demo(now=datetime.now(UTC) + timedelta(days=7))  # its newest friend registers tomorrow
    press(signed_in(client), "spend", "friend")
    assert b"The purchase was refused (time)" in client.get("/dev/mail/").content


@pytest.mark.parametrize("who", ["friend", "staff"])
def test_nobody_makes_other_peoples_friends_spend(story: datetime, client: Client, who: str) -> None:
    signed_in(client, who)
    assert press(client, "spend", "hiro").status_code == 404
    assert press(client, "refund", "hiro").status_code == 404


def test_visitor_is_asked_to_sign_in_first(story: datetime, client: Client) -> None:
    assert press(client, "spend", "hiro")["Location"].startswith("/accounts/login/")


def test_button_leads_back_but_never_to_another_site(story: datetime, worker: None, client: Client) -> None:
    signed_in(client)
    assert press(client, "spend", "hiro", next="/dev/clock/")["Location"] == "/dev/clock/"
    assert press(client, "spend", "hiro", next="https://example.org/")["Location"] == "/"


def test_doors_answer_without_a_broker(story: datetime, no_broker: None, client: Client) -> None:
    signed_in(client)
    assert press(client, "spend", "friend", next="/dev/clock/")["Location"] == "/dev/clock/"
    answer = client.post("/dev/clock/", {"days": "30"}, follow=True)
    assert answer.status_code == 200
    assert b"have not finished yet" in answer.content
    assert clock.offset() == timedelta(days=30)


def test_mail_is_listed_newest_first(demo: None, db: None, client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    for code in ("FIRST1", "SECOND"):
        send_mail(f"Code {code}", f"Grüße <b>{code}</b>", None, [f"{code.lower()}@example.com"])
    page = client.get("/dev/mail/").content.decode()
    assert page.index("Code SECOND") < page.index("Code FIRST1")
    assert "Grüße &lt;b&gt;SECOND&lt;/b&gt;" in page
    assert "second@example.com" in page


@pytest.mark.django_db(transaction=True)
def test_mail_is_shown_as_html_with_no_right_but_to_its_own_styles(
    demo: None, client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    fill_in(client, "bob@example.com")
    listed = client.get("/dev/mail/")
    assert "frame-src 'self'" in listed["Content-Security-Policy"]
    address = re.search(r'<iframe src="(/dev/mail/[^"]+/)"', listed.content.decode())
    assert address
    page = client.get(address[1])
    html, policy = page.content.decode(), page["Content-Security-Policy"]
    assert "Your code to confirm this e-mail address:" in html
    assert "style=" not in html
    assert ("unsafe" not in policy, "sandbox" in policy, "frame-ancestors 'self'" in policy) == (True, True, True)
    for sheet in re.findall("<style>(.*?)</style>", html, re.DOTALL):
        assert b64encode(sha256(sheet.encode()).digest()).decode() in policy
    assert page["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.django_db
@pytest.mark.parametrize("place", ["nothing-0", "0", "secret-0", "-0"])
def test_mail_that_is_not_there_is_404(
    demo: None, client: Client, settings: Settings, tmp_path: Path, place: str
) -> None:
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    (tmp_path / "mail").mkdir()
    (tmp_path / "secret.log").write_text("Subject: secret\n\n<b>secret</b>")
    assert client.get(f"/dev/mail/{place}/").status_code == 404


def test_story_is_history_and_mails_nobody(story: datetime) -> None:
    assert not OutboxMessage.objects.exists()


def test_clock_that_moves_brings_the_mails_of_what_happens(story: datetime, worker: None, client: Client) -> None:
    signed_in(client).post("/dev/clock/", {"days": "30"})
    arrived = OutboxMessage.objects.filter(customer__email=REFERRER, kind="credit_arrived")
    assert arrived.exists()
    assert not arrived.filter(sent_at=None).exists()


@pytest.mark.django_db
def test_mail_page_answers_without_any_mail(demo: None, client: Client, settings: Settings) -> None:
    settings.EMAIL_FILE_PATH = "/nowhere"
    assert client.get("/dev/mail/").status_code == 200


@pytest.mark.django_db
def test_banner_tells_the_demos_time(demo: None, client: Client) -> None:
    move_clock(by=timedelta(days=30))
    assert "30 days ahead" in client.get("/").content.decode()


@pytest.mark.django_db
def test_pages_show_nothing_of_the_demo_outside_it(client: Client) -> None:
    page = client.get("/").content.decode()
    assert "/dev/" not in page
    assert "demo" not in page.lower()


# The operations


@pytest.mark.django_db
def test_clock_moves_add_up(demo: None) -> None:
    assert move_clock(by=timedelta(days=30)) == timedelta(days=30)
    assert move_clock(by=timedelta(days=1)) == timedelta(days=31)
    assert clock.offset() == timedelta(days=31)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("by", "code"), [(timedelta(), "backwards"), (timedelta(days=-1), "backwards"), (timedelta(days=36_501), "far")]
)
def test_clock_goes_neither_back_nor_further_than_a_century(demo: None, by: timedelta, code: str) -> None:
    with pytest.raises(UnableToMoveClock) as refusal:
        move_clock(by=by)
    assert refusal.value.code == code


@pytest.mark.django_db
def test_clock_stops_at_a_century_but_not_before(demo: None) -> None:
    assert move_clock(by=timedelta(days=36_500)) == timedelta(days=36_500)
    with pytest.raises(UnableToMoveClock):
        move_clock(by=timedelta(microseconds=1))


@pytest.mark.django_db
def test_nothing_of_the_demo_happens_outside_it() -> None:
    with pytest.raises(UnableToMoveClock):
        move_clock(by=timedelta(days=1))
    with pytest.raises(UnableToOpenDemoLogin):
        open_demo_login(email=REFERRER, password=PASSWORD)
    with pytest.raises(UnableToOpenDemoLogin):
        hire_demo_staff(email=STAFF, password=PASSWORD, now=datetime.now(UTC))
    assert not User.objects.exists()
