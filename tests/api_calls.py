"""Calls to the API, as a billing system makes them."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.test import Client

from accounts.models import User
from accounts.operations import create_api_key
from credits.operations import NewCoupon, issue_coupons
from tests.facts import NOW, day

FEBRUARY, MARCH = day(2, 1), day(3, 1)


class Caller:
    """Somebody with a key."""

    def __init__(self, *scopes: str) -> None:
        _, self.key = create_api_key(name="billing", scopes=scopes, actor=None, now=day(1, 1))

    def get(self, path: str, **asked: Any) -> tuple[int, dict[str, Any]]:
        return self._answer(Client().get(f"/api/v1/{path}", asked, headers=self._headers))

    def post(self, path: str, body: object) -> tuple[int, dict[str, Any]]:
        content = json.dumps(body)
        answer = Client().post(f"/api/v1/{path}", content, content_type="application/json", headers=self._headers)
        return self._answer(answer)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @staticmethod
    def _answer(response: Any) -> tuple[int, dict[str, Any]]:
        return response.status_code, json.loads(response.content)


def give(customer: User, name: str, amount: str, *, expires_at: datetime, kind: str = "goodwill") -> int:
    """Give a coupon, usable since the customer registered; return its pk."""
    issued_at = customer.registered_at
    assert issued_at
    coupon = NewCoupon(customer.pk, kind, None, name, Decimal(amount), issued_at, expires_at)
    return issue_coupons(coupons=[coupon], now=NOW)[name]


def purchase(redemption_id: str = "order", account_id: str = "alice", *lines: tuple[str, str], **more: Any) -> Any:
    """The body of a redemption: of ecs for $12 unless other lines are given."""
    wanted = [{"product": product, "amount": amount} for product, amount in lines or [("ecs", "12.00")]]
    return {"redemption_id": redemption_id, "account_id": account_id, "lines": wanted, **more}
