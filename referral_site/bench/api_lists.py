"""The job of the API's lists: page 1,000 beside page 1 of the same list."""

from __future__ import annotations

from django.db import connection
from django.db.models import Model
from django.test import Client, override_settings
from django.utils import timezone

from accounts import lists
from accounts.models import ApiKey
from accounts.operations import create_api_key
from credits.models import Coupon, CouponEntry
from referral_site.bench.pages import ASKED_BY_ITSELF, MANY, Page, UnableToShowPage, referrer_of
from referrals.models import Referral, Reward

LISTS: dict[str, type[Model]] = {
    "referrals": Referral,
    "rewards": Reward,
    "coupons": Coupon,
    "entries": CouponEntry,
}
PAGE = 1000


class ApiLists(Page):
    """Views of a page of each of the four lists, through every middleware: ours page 1,000, raw page 1."""

    name = "page-api-lists"
    addresses: dict[bool, list[str]]
    client: Client

    @property
    def rows(self) -> int:
        return super().rows * len(LISTS)

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Make a key, and as many friends as a thousand pages need; each page has the same number of rows."""
        self.settings = override_settings(**ASKED_BY_ITSELF, API_CALLS_PER_MINUTE=1_000_000)
        self.settings.enable()
        if not turn:
            now = timezone.now()
            referrer_of(MANY, name=self.name, now=now)
            scopes = [ApiKey.Scope.CREDIT_READ, ApiKey.Scope.REFERRALS_READ]
            _, key = create_api_key(name="bench", scopes=scopes, actor=None, now=now)
            self.client = Client(headers={"Authorization": f"Bearer {key}"})
            self.addresses = {raw: [address_of(name, raw=raw) for name in LISTS] for raw in (False, True)}
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE)")
        self._look(raw=raw)

    def _look(self, *, raw: bool) -> None:
        for address in self.addresses[raw]:
            answer = self.client.get(address)
            if answer.status_code != 200:
                raise UnableToShowPage(f"{self.name}: {address} answers {answer.status_code}.")


def address_of(name: str, *, raw: bool) -> str:
    """The first page of a list, or the thousandth."""
    pks = LISTS[name]._default_manager.order_by("pk").values_list("pk", flat=True)
    limit = pks.count() // PAGE
    if raw:
        return f"/api/v1/{name}?limit={limit}"
    cursor = lists.page_after(name=name, pk=pks[limit * (PAGE - 1) - 1])
    return f"/api/v1/{name}?limit={limit}&cursor={cursor}"
