"""Visits to links: whose count, how often, and how they come into the database, each once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import date, timedelta
from threading import Event, Timer

import pytest
import time_machine
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from psutil import Process
from redis import Redis

from referrals import tally as tallies
from referrals.models import ReferralLink, VisitCount, VisitFlush
from referrals.operations import flush_visits, record_visits, switch_link_off
from referrals.operations.visits import KEPT
from referrals.people import is_crawler
from referrals.tally import COUNTING, SET_ASIDE, Tally, Visit, client, next_batch, tally
from referrals.views.invitation import invitation
from referrals.visits import remember
from tests.facts import register
from tests.newcomers import NOW, referrer

pytestmark = pytest.mark.django_db(transaction=True)

CHROME = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
)
PEOPLE = [
    CHROME,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "[FBAN/FBIOS;FBAV/480.0;FBDV/iPhone14,5]",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
]
PREVIEWERS = [
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "WhatsApp/2.24.20.89 A",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "Twitterbot/1.0",
    "TelegramBot (like TwitterBot)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.10.1",
    "python-requests/2.32.3",
]


class Asleep(Event):
    """Wakes nobody, and sends home who waits for it."""

    def is_set(self) -> bool:
        return True

    def wait(self, timeout: float | None = None) -> bool:
        return False


@pytest.fixture(autouse=True)
def _nothing_handed_over_by_the_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test counts it hands over itself, so that it knows when."""
    monkeypatch.setattr(tally, "_wake", Asleep())
    monkeypatch.setattr(tally, "_pid", os.getpid())
    tally._sums.clear()
    yield
    tally._sums.clear()
    monkeypatch.setattr(tally, "_pid", 0)


@pytest.fixture
def link() -> ReferralLink:
    return referrer("alice")


def counted() -> dict[tuple[str, date, str], int]:
    """Flush, and return what the database has."""
    tally.hand_over()
    flush_visits(now=NOW)
    return {(one.link.code, one.day, one.channel): one.visits for one in VisitCount.objects.select_related("link")}


def total() -> int:
    return sum(counted().values())


@pytest.mark.parametrize("agent", PEOPLE)
def test_a_person_counts_once_a_day_however_often_they_look(link: ReferralLink, agent: str) -> None:
    browser = Client(headers={"user-agent": agent})
    with time_machine.travel(NOW, tick=False):
        for _ in range(3):
            browser.get(f"/r/{link.code}/")
    assert counted() == {(link.code, NOW.date(), "link"): 1}


def test_each_browser_link_and_day_counts_by_itself(link: ReferralLink) -> None:
    ann = referrer("ann")
    phone, desk = Client(), Client()
    with time_machine.travel(NOW, tick=False) as now:
        for browser in (phone, desk):
            for code in (link.code, ann.code, link.code):
                browser.get(f"/r/{code}/")
        now.shift(timedelta(days=1, seconds=-1))
        phone.get(f"/r/{link.code}/")
        assert total() == 4
        now.shift(timedelta(seconds=1))
        phone.get(f"/r/{link.code}/")
    tomorrow = NOW.date() + timedelta(days=1)
    assert counted() == {
        (link.code, NOW.date(), "link"): 2,
        (ann.code, NOW.date(), "link"): 2,
        (link.code, tomorrow, "link"): 1,
    }


def test_a_hundred_links_on_one_day_are_counted_once_each_by_a_cookie_that_browsers_keep() -> None:
    request, codes = RequestFactory().get("/"), [f"{number:032}" for number in range(100)]
    for first in (True, False):
        for code in codes:
            response = HttpResponse()
            assert remember(request, response, code=code, now=NOW, days=30) is first
            request.COOKIES["referral"] = response.cookies["referral"].value
    assert len(response.cookies["referral"].OutputString()) < 4096


@pytest.mark.parametrize("agent", PREVIEWERS)
def test_who_reads_for_others_does_not_count_and_gets_no_cookie(link: ReferralLink, agent: str) -> None:
    answer = Client(headers={"user-agent": agent}).get(f"/r/{link.code}/")
    assert answer.status_code == 200
    assert not answer.cookies
    assert total() == 0


@pytest.mark.parametrize("header", ["Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"])
@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender"])
def test_what_is_fetched_ahead_does_not_count_and_gets_no_cookie(link: ReferralLink, header: str, purpose: str) -> None:
    answer = Client(headers={"user-agent": CHROME, header: purpose}).get(f"/r/{link.code}/")
    assert answer.status_code == 200
    assert not answer.cookies
    assert f"/accounts/signup/?code={link.code}" in answer.content.decode()
    assert total() == 0


def test_head_does_not_count_and_gets_no_cookie(link: ReferralLink) -> None:
    answer = Client(headers={"user-agent": CHROME}).head(f"/r/{link.code}/")
    assert answer.status_code == 200
    assert not answer.cookies
    assert total() == 0


def test_customers_and_links_that_do_not_work_count_nothing(client: Client, link: ReferralLink) -> None:
    client.force_login(register("bob"))
    client.get(f"/r/{link.code}/")
    Client().get("/r/nobody/")
    off = referrer("ann")
    switch_link_off(user_id=off.owner_id, actor=None, reason="asked", now=NOW)
    Client().get(f"/r/{off.code}/")
    assert total() == 0


def test_visit_to_a_link_that_is_off_between_two_to_one_that_works_counts_that_one_once(link: ReferralLink) -> None:
    off, browser = referrer("ann"), Client()
    switch_link_off(user_id=off.owner_id, actor=None, reason="asked", now=NOW)
    for code in (link.code, off.code, link.code):
        browser.get(f"/r/{code}/")
    assert total() == 1


@pytest.mark.parametrize(
    ("mark", "channel"),
    [("whatsapp", "whatsapp"), ("QR", "qr"), ("email", "email"), ("pigeon", "link"), ("", "link"), ("x" * 99, "link")],
)
def test_channel_is_the_mark_of_the_link_if_it_is_known(link: ReferralLink, mark: str, channel: str) -> None:
    with time_machine.travel(NOW, tick=False):
        Client().get(f"/r/{link.code}/?via={mark}")
    assert counted() == {(link.code, NOW.date(), channel): 1}


def test_landing_with_its_visit_makes_no_statement_on_a_warm_process(link: ReferralLink) -> None:
    Client().get(f"/r/{link.code}/")
    browser = Client(headers={"user-agent": CHROME})
    with CaptureQueriesContext(connection) as statements:
        answer = browser.get(f"/r/{link.code}/")
    assert answer.cookies["referral"].value
    assert len(statements) == 0
    assert total() == 2


def test_page_works_while_the_counting_server_is_down(link: ReferralLink, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> object:
        return Redis.from_url("redis://127.0.0.1:1/0")

    monkeypatch.setattr(tallies, "client", nobody)
    answer = Client().get(f"/r/{link.code}/")
    tally.hand_over()
    assert answer.status_code == 200
    monkeypatch.undo()
    assert total() == 0


def test_visits_whose_receipt_comes_too_late_are_not_handed_over_a_second_time(link: ReferralLink) -> None:
    tally.count(Visit(link.pk, NOW.date(), "link"))
    server = Process(client().info("server")["process_id"])
    # It answers nobody for longer than anybody waits, and then does all that it has been asked meanwhile.
    server.suspend()
    awake = Timer(1.4, server.resume)
    awake.start()
    tally.hand_over()
    awake.join()
    assert total() == 1


def test_process_hands_its_visits_over_by_itself(link: ReferralLink) -> None:
    own = Tally()
    for _ in range(3):
        own.count(Visit(link.pk, NOW.date(), "x"))
    deadline = time.monotonic() + 10
    while not client().exists(COUNTING) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counted() == {(link.code, NOW.date(), "x"): 3}


# The way into the database


def test_counts_grow_from_batch_to_batch(link: ReferralLink) -> None:
    for _ in range(2):
        Client().get(f"/r/{link.code}/")
        total()
    assert total() == 2
    assert VisitFlush.objects.count() == 2


def test_batch_that_was_written_and_not_dropped_counts_once(link: ReferralLink) -> None:
    Client().get(f"/r/{link.code}/")
    tally.hand_over()
    batch = next_batch()
    assert batch
    assert record_visits(batch_id=batch.batch_id, visits=batch.visits, now=NOW) == 1
    # Here the process dies; the next one finds the batch, and new visits behind it.
    Client().get(f"/r/{link.code}/")
    assert total() == 2
    assert not client().exists(SET_ASIDE)


def test_batch_that_was_set_aside_and_not_written_is_taken_up_again(link: ReferralLink) -> None:
    Client().get(f"/r/{link.code}/")
    tally.hand_over()
    assert next_batch()
    assert total() == 1


def test_counts_that_a_crashed_server_brings_back_are_not_added_again(link: ReferralLink) -> None:
    Client().get(f"/r/{link.code}/")
    tally.hand_over()
    as_before = client().hgetall(COUNTING)
    assert total() == 1
    for name, value in as_before.items():
        client().hset(COUNTING, str(name), str(value))
    assert total() == 1


def test_of_two_flushes_at_once_the_slower_one_drops_no_other_batch(link: ReferralLink) -> None:
    Client().get(f"/r/{link.code}/")
    tally.hand_over()
    slow = next_batch()
    assert slow
    assert total() == 1
    Client().get(f"/r/{link.code}/")
    tally.hand_over()
    assert next_batch()
    tallies.drop(slow)
    assert total() == 2


def test_link_that_is_unknown_is_left_out(link: ReferralLink) -> None:
    visits = {Visit(link.pk, NOW.date(), "x"): 2, Visit(link.pk + 1000, NOW.date(), "x"): 3}
    record_visits(batch_id="batch", visits=visits, now=NOW)
    assert counted() == {(link.code, NOW.date(), "x"): 2}


def test_ids_of_batches_are_kept_for_long_and_not_for_ever(link: ReferralLink) -> None:
    visits = {Visit(link.pk, NOW.date(), "x"): 1}
    record_visits(batch_id="old", visits=visits, now=NOW)
    record_visits(batch_id="new", visits=visits, now=NOW + KEPT - timedelta(seconds=1))
    assert VisitFlush.objects.count() == 2
    record_visits(batch_id="newer", visits=visits, now=NOW + KEPT)
    assert not VisitFlush.objects.filter(flush_id="old").exists()


def test_names_of_programs_are_judged_once() -> None:
    before = is_crawler.cache_info().misses
    assert not is_crawler("A browser of its own kind")
    assert not is_crawler("A browser of its own kind")
    assert is_crawler.cache_info().misses == before + 1


def test_codes_that_somebody_tries_share_one_page_in_memory(link: ReferralLink) -> None:
    tried = [invitation(code).page(NOW, with_form=True).parts for code in ("no-such-code", "nor-this-one")]
    assert tried[0] is tried[1]
    assert invitation(link.code).page(NOW, with_form=True).parts is not tried[0]
