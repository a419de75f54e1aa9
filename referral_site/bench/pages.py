"""The jobs of the console's pages: what a page costs a referrer of ten thousand friends, beside one of ten."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.operations import Identity, add_payment_method, pass_verification
from referral_site.bench import pages_sql as sql
from referral_site.bench.job import Job
from referrals.models import ReferralLink
from referrals.operations import admit

FEW, MANY = 10, 10_000
# Views a turn.
VIEWS = 10
# The bench asks itself, and leaves nothing in the site's cache.
ASKED_BY_ITSELF = {
    "ALLOWED_HOSTS": ["*"],
    "SECURE_SSL_REDIRECT": False,
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "bench"}},
}


class UnableToShowPage(Exception):
    """A page of the bench did not answer 200. `code` is `page`."""

    code = "page"


class Page(Job):
    """Views of one page, through every middleware: ours for a referrer of ten thousand friends, raw for one of ten."""

    rounds = 7
    view: ClassVar[str]
    settings: Any = None
    seen: dict[bool, tuple[Client, str]]

    @property
    def rows(self) -> int:
        return VIEWS

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Sign both referrers in; the first turn makes them."""
        self.settings = override_settings(**ASKED_BY_ITSELF)
        self.settings.enable()
        if not turn:
            self.seen = {False: self._reader(MANY), True: self._reader(FEW)}
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE)")
        self._look(raw=raw)

    def ours(self, turn: int) -> None:
        for _ in range(VIEWS):
            self._look(raw=False)

    def raw(self, turn: int) -> None:
        for _ in range(VIEWS):
            self._look(raw=True)

    def finish(self, turn: int) -> None:
        """Give the settings back."""
        if self.settings:
            self.settings.disable()
            self.settings = None

    def address(self, referrer: User) -> str:
        """The page that the referrer looks at."""
        return reverse(self.view)

    def _look(self, *, raw: bool) -> None:
        client, address = self.seen[raw]
        answer = client.get(address)
        if answer.status_code != 200:
            raise UnableToShowPage(f"{self.name}: {address} answers {answer.status_code}.")

    def _reader(self, friends: int) -> tuple[Client, str]:
        referrer = referrer_of(friends, name=f"{self.name}-{friends}", now=timezone.now())
        client = Client()
        client.force_login(referrer)
        return client, self.address(referrer)


class ReferPage(Page):
    """Refer a Friend, with the link, figures, months and the first page of friends."""

    name = "page-refer"
    view = "console:refer"


class CouponsPage(Page):
    """Coupons, with the balance and the first page of usable ones."""

    name = "page-coupons"
    view = "console:coupons"


class FriendPage(Page):
    """One friend who has been paid."""

    name = "page-friend"
    view = "console:friend"

    def address(self, referrer: User) -> str:
        with connection.cursor() as cursor:
            cursor.execute(sql.PAID_FRIEND, {"referrer": referrer.pk})
            return reverse(self.view, args=[cursor.fetchone()[0]])


def referrer_of(friends: int, *, name: str, now: datetime) -> User:
    """Make a referrer with a link, visits and so many friends."""
    referrer = User.objects.create(
        account_id=name, email=f"{name}@example.com", created_at=now, registered_at=now, signup_attribution={}
    )
    admit(user_ids=[referrer.pk], now=now)
    add_payment_method(user_id=referrer.pk, now=now)
    identity = Identity("DE", "passport", name)
    pass_verification(user_id=referrer.pk, identity=identity, account_type=referrer.account_type, now=now)
    link = ReferralLink.objects.get(owner=referrer)
    with connection.cursor() as cursor:
        cursor.execute(sql.FRIENDS, {"referrer": referrer.pk, "friends": friends, "name": name, "now": now})
        cursor.execute(sql.VISITS, {"link": link.pk, "now": now})
    return referrer
