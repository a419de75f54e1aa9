"""Random histories of a programme, small and dense, for the engine and the oracle to live through side by side.

`histories()` draws a list of steps. The one who draws keeps an oracle at hand, so that the next step is aimed at what
has happened so far: a settlement at a due instant, a chargeback of what has been paid for, a redemption of what is
left. `tests.history_shares` says how often the histories come to each thing that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.plain_reading import Outcome, Programme, Terms
from tests.rates import rates_of

T = TypeVar("T")
Row = Mapping[str, str]

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECOND_TERMS_AT = datetime(2025, 7, 1, tzinfo=UTC)
FAR_FUTURE = datetime(2031, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2025, 2, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
CENT = Decimal("0.01")
ZERO = Decimal("0.00")
BATCH = 100

FIRST_TERMS = Terms()
SECOND_TERMS = Terms(
    starts_at=SECOND_TERMS_AT,
    payout=Decimal("25.00"),
    threshold=Decimal("30.00"),
    payout_days=20,
    bonus_rate=Decimal("0.15"),
    window_days=60,
    bonus_days=15,
    cap=Decimal("100.00"),
    credit_days=120,
    trial_days=200,
    welcome={"individual": Decimal("7.00"), "enterprise": Decimal("12.00")},
    trial={"individual": Decimal("250.00"), "enterprise": Decimal("900.00")},
)
TERMS = (FIRST_TERMS, SECOND_TERMS)
EARNING = ("ecs", "rds", "oss", "vpc", "waf", "emr")
NOT_EARNING = ("cdn", "domain", "marketplace")
PRODUCTS = dict.fromkeys(EARNING, True) | dict.fromkeys(NOT_EARNING, False)

RATES = rates_of("EUR", "JPY", "HUF")

ACCOUNT_COLUMNS = ("account_id", "email", "account_type", "country", "registered_at", "referred_by")
SPEND_COLUMNS = ("event_id", "account_id", "type", "product", "currency", "amount", "occurred_at", "payment_id")
REDEMPTION_COLUMNS = ("redemption_id", "account_id", "amount", "occurred_at")

# Sorted by code point these come in another order than by any language.
ACCOUNT_IDS = ("alice", "bob", "Bea", "_eve", "ödi", "10", "9", "Zoe", "ab c")
EVENT_PREFIXES = ("e", "E", "_", "é", "1")
REFERRERS_SINCE = datetime(2025, 1, 1, tzinfo=UTC)
REGISTERED = (
    datetime(2025, 3, 1, tzinfo=UTC),
    SECOND_TERMS_AT - TICK,
    SECOND_TERMS_AT,
    SECOND_TERMS_AT - 40 * DAY,
    SECOND_TERMS_AT + 40 * DAY + timedelta(hours=7, microseconds=123456),
)


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    `kind` is `accounts`, `spend` or `redemptions` (import `rows`, the raw CSV strings), `hold`, `release` or `lift`
    (of `friend_id`), `refuse` (of `friend_id`, `at`), `close` (the account `friend_id`, `at`), or `settle` (every
    customer, `at`). `now` is always `NOW`.
    """

    kind: str
    rows: tuple[Row, ...] = ()
    friend_id: str = ""
    at: datetime = NOW


def programme() -> Programme:
    """The empty programme in which every history happens."""
    return Programme(TERMS, PRODUCTS, RATES)


def apply(to: Programme, step: Step) -> Outcome | None:
    """Take one step in the oracle."""
    match step.kind:
        case "accounts":
            return to.import_accounts(step.rows, NOW)
        case "spend":
            return to.import_spend(step.rows, NOW)
        case "redemptions":
            return to.import_redemptions(step.rows, NOW)
        case "hold":
            to.hold(step.friend_id)
        case "release":
            to.release(step.friend_id)
        case "refuse":
            to.refuse(step.friend_id, step.at)
        case "lift":
            to.lift(step.friend_id)
        case "close":
            to.close(step.friend_id, step.at)
        case "settle":
            to.settle(step.at)
        case _:
            raise ValueError(step.kind)
    return None


def terms_at(registered_at: datetime) -> Terms:
    return SECOND_TERMS if registered_at >= SECOND_TERMS_AT else FIRST_TERMS


def written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def written_elsewhere(at: datetime) -> str:
    """The same instant, written in another zone."""
    return (at.astimezone(UTC) + timedelta(hours=5, minutes=30)).replace(tzinfo=None).isoformat() + "+05:30"


# ---------------------------------------------------------------------------------------------------------- the teller


class Story:
    """A history in the making; each method named like a happening adds its steps."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw
        self.steps: list[Step] = []
        self.known = programme()
        self._registered: dict[str, datetime] = {}
        self._pending: list[Row] = []
        self._sent: list[Row] = []
        self._sent_redemptions: list[Row] = []
        self._accounts_sent: list[Row] = []
        self._unborn: list[Row] = []
        self._number = 0
        self._straight = False  # the plot is followed without turning aside: whole sums, nothing too early

    # -------------------------------------------------------------------------------------------------- drawing

    def one_of(self, choices: Sequence[T]) -> T:
        choice: T = self._draw(st.sampled_from(choices))
        return choice

    def chance(self, tenths: int) -> bool:
        """True in so many of ten; shrinks to False."""
        return bool(self._draw(st.integers(0, 9)) >= 10 - tenths)

    def shuffled(self, rows: list[Row]) -> list[Row]:
        return list(self._draw(st.permutations(rows))) if len(rows) > 1 and self.chance(5) else rows

    def step(self, step: Step) -> None:
        self.steps.append(step)
        apply(self.known, step)

    def fresh_id(self) -> str:
        self._number += 1
        return f"{self.one_of(EVENT_PREFIXES)}{self._number}"

    # ------------------------------------------------------------------------------------------------- accounts

    def open_accounts(self) -> None:
        """One to five customers, each referred by an earlier one or by nobody, in one file or two."""
        number = self.one_of((2, 3, 2, 4, 3, 5))
        rows: list[Row] = [self._account_row(place) for place in range(number)]
        if self.chance(2):
            rows.append(self._junk_account())
        rows = self.shuffled(rows)
        cut = self.one_of((len(rows), len(rows) // 2)) if self.chance(2) else len(rows)
        for part in (rows[:cut], rows[cut:]):
            if part:
                self.step(Step("accounts", tuple(part)))

    def _account_row(self, place: int) -> Row:
        """The first refers; the others are referred by the first or by one before them."""
        account_id = ACCOUNT_IDS[place]
        at = REFERRERS_SINCE if place == 0 else self.one_of(REGISTERED)
        possible = [other for other, since in self._registered.items() if since <= at]
        referred_by = "" if place == 0 else possible[0] if self.chance(7) else self.one_of([*possible, ""])
        self._registered[account_id] = at
        row = {
            "account_id": account_id,
            "email": f"account{place}@example.com",
            "account_type": self.one_of(("individual", "enterprise")),
            "country": "DE",
            "registered_at": written(at),
            "referred_by": referred_by,
        }
        self._accounts_sent.append(row)
        return row

    def newcomer(self) -> None:
        """A customer who is imported late: welcome credit may have expired before it is known."""
        rows: list[Row] = []
        if len(self._registered) < len(ACCOUNT_IDS):
            rows.append(self._account_row(len(self._registered)))
        if not rows or self.chance(5):
            rows.append(self._junk_account())
        self.step(Step("accounts", tuple(self.shuffled(rows))))

    def _junk_account(self) -> Row:
        """An account for each code, or a duplicate."""
        known = dict(self.one_of(self._accounts_sent))
        new = known | {"account_id": "junk", "email": "junk@example.com", "referred_by": ""}
        return self.one_of(
            (
                known | {"email": known["email"].upper()},
                known | {"country": "FR"},
                known | {"registered_at": written_elsewhere(self._registered[known["account_id"]])},
                new | {"account_id": "a\tb"},
                new | {"account_id": ""},
                new | {"account_type": "Individual"},
                new | {"registered_at": "2025-03-01 00:00:00"},
                new | {"registered_at": "1969-12-31T23:59:59Z"},
                new | {"registered_at": written(NOW + timedelta(minutes=5) + TICK)},
                new | {"email": "junk.example.com"},
                new | {"email": known["email"].title()},
                new | {"referred_by": "nobody"},
                new | {"referred_by": "junk"},
                new | {"referred_by": known["account_id"], "registered_at": written(REFERRERS_SINCE - TICK)},
            )
        )

    # ---------------------------------------------------------------------------------------------------- spend

    def send(self, row: Row) -> None:
        self._pending.append(row)
        self._sent.append(row)

    def flush(self) -> None:
        """Import what is pending: shuffled or not, in one file, in two, or row by row."""
        if self._pending and self.chance(3):
            self.disturb()
        rows, self._pending = self.shuffled(self._pending), []
        size = len(rows) if self.chance(7) else self.one_of((1, 2, 3))
        for begin in range(0, len(rows), max(size, 1)):
            self.step(Step("spend", tuple(rows[begin : begin + size])))

    def friends(self) -> list[dict[str, Any]]:
        return self.known.referrals()

    def payment_row(self, account_id: str, amount: Decimal, at: datetime) -> Row:
        return {
            "event_id": self.fresh_id(),
            "account_id": account_id,
            "type": "payment",
            "product": self.one_of(EARNING) if self.chance(9) else self.one_of(NOT_EARNING),
            "currency": "USD",
            "amount": str(amount),
            "occurred_at": written(at),
            "payment_id": "",
        }

    def abroad(self, dollars: Decimal) -> dict[str, str]:
        """Now and then the currency and amount of somebody who pays about as much in another currency."""
        if not self.chance(3):
            return {}
        currency = self.one_of(tuple(RATES))
        amount = dollars / next(iter(RATES[currency].values()))
        return {"currency": currency, "amount": str(max(amount.quantize(Decimal(1)), Decimal(1)))}

    def reversal_row(self, kind: str, of: Mapping[str, Any], amount: Decimal) -> Row:
        """A reversal of `of`, a payment as a row or as the oracle tells it."""
        return {
            "event_id": self.fresh_id(),
            "account_id": of["account_id"],
            "type": kind,
            "product": "",
            "currency": of["currency"],
            "amount": str(amount),
            "occurred_at": written(self.one_of((NOW, NOW - 30 * DAY))),
            "payment_id": of["event_id"],
        }

    def spend_instant(self, account_id: str) -> datetime:
        registered_at = self._registered[account_id]
        edge = registered_at + timedelta(days=terms_at(registered_at).window_days)
        ordinary = (registered_at + 5 * DAY, registered_at, registered_at + 5 * DAY, registered_at + 20 * DAY)
        return self.one_of((*ordinary, edge - TICK, edge, edge + 3 * DAY))

    def earn(self) -> None:
        """A friend spends about the threshold, well above it, or above the cap, in one payment or several."""
        account_id = self.one_of([friend["friend_id"] for friend in self.friends()] or list(self._registered))
        threshold = terms_at(self._registered[account_id]).threshold
        more = self.one_of(("0.00", "100.05", "0.01", "-0.01", "0.05", "40.33", "3000"))
        total = threshold + Decimal(more)
        while total > 0:
            part = total if self.chance(6) else min(total, self.one_of((threshold / 2, CENT, threshold - CENT)))
            self.send(self.payment_row(account_id, part.quantize(CENT), self.spend_instant(account_id)))
            total -= part
        if self.chance(8):
            self.settle_due()

    def top_up(self) -> None:
        """One more payment of a friend, small or large."""
        account_id = self.one_of([friend["friend_id"] for friend in self.friends()] or list(self._registered))
        amount = Decimal(self.one_of(("9.00", "0.01", "50.05", "1000")))
        payment = self.payment_row(account_id, amount, self.spend_instant(account_id))
        self.send({**payment, **self.abroad(amount)})
        if self.chance(5):
            self.settle_due()

    def take_back(self) -> None:
        """A refund or chargeback, whole, in part or too large; then most often a settlement."""
        self.flush()
        paid = {friend["friend_id"] for friend in self.friends() if friend["payout_granted"] > 0}
        payments = [payment for payment in self.known.payments() if payment["net"] > 0]
        payments = [payment for payment in payments if payment["account_id"] in paid] or payments
        if not payments:
            self.earn()
            return
        payments.sort(key=lambda payment: -payment["net"])
        payment = self.one_of((payments[0], payments[0], self.one_of(payments)))
        net: Decimal = payment["net"]
        amount = self.one_of((net, net, net, min(net, Decimal("5.01")), CENT, net + CENT))
        kind = self.one_of(("chargeback", "chargeback", "refund"))
        if self._straight:
            kind, amount = "chargeback", net
        self.send(self.reversal_row(kind, payment, amount))
        if self._straight or self.chance(8):
            self.settle_soon()

    def win(self) -> None:
        """A dispute is won, whole, in part, or above what was charged back so far."""
        self.flush()
        payments = [payment for payment in self.known.payments() if payment["charged_back"] > 0]
        if not payments:
            self.take_back()
            return
        payment = self.one_of(payments)
        lost: Decimal = payment["charged_back"]
        amount = self.one_of((lost, lost, lost, min(lost, Decimal("5.00")), lost + CENT))
        self.send(self.reversal_row("chargeback_reversal", payment, lost if self._straight else amount))
        if self._straight or self.chance(8):
            self.settle_due()

    def come_early(self) -> None:
        """Reversals arrive before their payment; `be_born` brings it."""
        account_id = self.one_of([friend["friend_id"] for friend in self.friends()] or list(self._registered))
        amount = self.one_of((Decimal("40.00"), Decimal("20.00"), Decimal("30.01")))
        payment = self.payment_row(account_id, amount, self.spend_instant(account_id))
        self._unborn.append(payment)
        for _ in range(self.one_of((1, 2, 3))):
            kind = self.one_of(("refund", "chargeback", "chargeback_reversal"))
            part = self.one_of((amount - CENT, amount / 2, CENT, amount, amount + CENT))
            row = dict(self.reversal_row(kind, payment, part.quantize(CENT)))
            if self.chance(1):
                row["account_id"] = ACCOUNT_IDS[0]
            self.send(row)
        self.flush()

    def be_born(self) -> None:
        if not self._unborn:
            self.come_early()
            return
        self.send(self._unborn.pop(0))
        if self.chance(5):
            self.flush()

    # -------------------------------------------------------------------------------------------------- disorder

    def disturb(self) -> None:
        """A row that must have no effect, or hardly any: a duplicate, a conflict, or junk of any code."""
        known = dict(self.one_of(self._sent))
        new = known | {"event_id": self.fresh_id()}
        payment = new | {"type": "payment", "product": "ecs"}
        row = self.one_of(
            (
                known,
                known | {"amount": f"0{known['amount']}"},
                known | {"amount": "77.77"},
                known | {"currency": "usd"},
                new | {"event_id": ""},
                new | {"event_id": "x" * 101},
                new | {"account_id": "a\x07"},
                new | {"type": "refund", "payment_id": ""},
                new | {"amount": self.one_of(("0", "0.00", "-1", "1.234", " 1", "1e2", ""))},
                new | {"type": self.one_of(("gift", "Payment", ""))},
                new | {"occurred_at": self.one_of(("2025-07-01", "2025-07-01T00:00:00", "2025-02-30T00:00:00Z", ""))},
                new | {"currency": self.one_of(("XXX", "usd", ""))},
                known | {"currency": "SEK"},
                new | {"currency": "JPY", "amount": "5.50"},
                new | {"account_id": "nobody"},
                new | {"type": "refund", "payment_id": "never", "account_id": "nobody"},
                payment | {"product": self.one_of(("none", "ECS", ""))},
                payment | {"occurred_at": written(REFERRERS_SINCE - TICK)},
                new | {"occurred_at": written(NOW + timedelta(minutes=5) + TICK)},
                new | {"type": "refund", "payment_id": known["event_id"], "amount": "9999999999.99"},
                new | {"type": "refund", "payment_id": known["event_id"], "account_id": ACCOUNT_IDS[0]},
            )
        )
        self._pending.append(row)

    # ----------------------------------------------------------------------------------------------- redemptions

    def drain(self) -> None:
        """A customer spends all that is usable at an instant, a part of it, or a cent too much."""
        self.flush()
        coupons = [coupon for coupon in self.known.coupons() if coupon["kind"] != "trial" and coupon["remaining"] > 0]
        coupons = [coupon for coupon in coupons if coupon["issued_at"] <= NOW]
        coupons = [coupon for coupon in coupons if coupon["friend_id"]] or coupons
        if not coupons:
            self.earn()
            return
        coupon = self.one_of(coupons)
        at = self.one_of((coupon["issued_at"], min(NOW, coupon["expires_at"] - TICK)))
        left = self._usable(coupon["account_id"], at)
        amounts = (left, left, left, max(CENT, left - 5), CENT, left + CENT)
        amount = left if self._straight else self.one_of(amounts)
        rows = [self._redemption_row(coupon["account_id"], amount, at)]
        if self.chance(4):
            rows.append(self._junk_redemption(rows[0]))
        self.step(Step("redemptions", tuple(rows)))

    def _usable(self, account_id: str, at: datetime) -> Decimal:
        return sum(
            (
                coupon["remaining"]
                for coupon in self.known.coupons()
                if coupon["account_id"] == account_id
                and coupon["kind"] != "trial"
                and coupon["issued_at"] <= at < coupon["expires_at"]
            ),
            ZERO,
        )

    def _redemption_row(self, account_id: str, amount: Decimal, at: datetime) -> Row:
        row = {
            "redemption_id": self.fresh_id(),
            "account_id": account_id,
            "amount": str(amount),
            "occurred_at": written(at),
        }
        self._sent_redemptions.append(row)
        return row

    def _junk_redemption(self, other: Row) -> Row:
        known = dict(self.one_of(self._sent_redemptions))
        new = dict(other) | {"redemption_id": self.fresh_id()}
        return self.one_of(
            (
                known,
                known | {"amount": "0.02"},
                known | {"account_id": "nobody"},
                new | {"redemption_id": ""},
                new | {"amount": "0"},
                new | {"amount": "1.001"},
                new | {"occurred_at": "yesterday"},
                new | {"occurred_at": written(NOW + timedelta(minutes=5) + TICK)},
                new | {"account_id": "nobody"},
                new | {"occurred_at": written(REFERRERS_SINCE - TICK), "amount": "0.01"},
            )
        )

    # ------------------------------------------------------------------------------------------------ settlement

    def settle_due(self) -> None:
        """Settle at an instant at which something falls due, or a microsecond before, or some time later."""
        self.flush()
        dues = [
            friend[f"{kind}_due_at"]
            for friend in self.friends()
            for kind in ("payout", "bonus")
            if friend["qualified_at"] is not None
        ]
        if not dues:
            self.settle_soon()
            return
        due = max(dues) if self._straight else self.one_of((max(dues), self.one_of(dues)))
        later = self.one_of((timedelta(0), timedelta(0), DAY, -TICK, 10 * DAY))
        self.step(Step("settle", at=due + (DAY if self._straight else later)))

    def settle_soon(self) -> None:
        """Settle once more at the last instant or a little later."""
        self.flush()
        last = next((step.at for step in reversed(self.steps) if step.kind == "settle"), SECOND_TERMS_AT + 150 * DAY)
        if last >= FAR_FUTURE:
            last = NOW
        self.step(Step("settle", at=last + self.one_of((timedelta(0), DAY, DAY, 20 * DAY))))

    def lapse(self) -> None:
        """Settle where credit has just expired, or is just about to."""
        self.flush()
        coupons = [coupon for coupon in self.known.coupons() if coupon["remaining"] > 0]
        coupons = [coupon for coupon in coupons if coupon["friend_id"]] or coupons
        expiry = self.one_of(coupons)["expires_at"] if coupons else NOW
        later = self.one_of((timedelta(0), DAY, timedelta(0), -TICK))
        self.step(Step("settle", at=expiry + (timedelta(0) if self._straight else later)))

    def settle_anywhen(self) -> None:
        """Settle far from everything: in the past, today, or in the far future."""
        self.flush()
        self.step(Step("settle", at=self.one_of((NOW, LONG_AGO, SECOND_TERMS_AT + 50 * DAY, FAR_FUTURE))))

    def flag(self) -> None:
        """Hold, release, refuse or lift a referral; lifting and releasing are preferred where there is cause."""
        friends = self.friends()
        if not friends:
            return
        self.flush()
        friend = self.one_of(friends)
        kinds = ["hold", "refuse"]
        kinds += ["release"] * (3 if friend["held"] else 1) + ["lift"] * (3 if friend["refused"] else 1)
        kind = self.one_of(kinds)
        at = NOW
        if kind == "refuse":
            expiry = self._registered[friend["friend_id"]] + timedelta(days=120)
            at = self.one_of(
                (expiry - 100 * DAY, expiry - TICK, expiry, expiry + 60 * DAY - TICK, expiry + 60 * DAY, NOW)
            )
        self.step(Step(kind, friend_id=friend["friend_id"], at=at))
        if self.chance(6):
            self.settle_soon()

    def close(self) -> None:
        """A customer closes their account, at whatever instant; not the last two, or nothing more would happen."""
        accounts = self.known.open_accounts()
        if len(accounts) < 3:
            return
        self.flush()
        at = self.one_of((NOW, SECOND_TERMS_AT + 100 * DAY, LONG_AGO + 400 * DAY, FAR_FUTURE))
        self.step(Step("close", friend_id=self.one_of(accounts), at=at))

    # -------------------------------------------------------------------------------------------------- the plot

    def plots(self) -> tuple[tuple[Callable[[], None], ...], ...]:
        """Chains of happenings that chance alone would seldom put together."""
        return (
            (self.take_back, self.win),
            (self.drain, self.take_back, self.win),
            (self.come_early, self.be_born),
            (self.lapse, self.take_back, self.win),
            (self.drain, self.take_back, self.earn, self.win),
            (self.drain, self.lapse, self.take_back, self.earn),
            (self.flag, self.take_back, self.flag, self.win),
            (self.lapse, self.take_back, self.earn),
            (self.top_up, self.settle_due, self.take_back, self.top_up),
            (self.settle_due, self.top_up, self.settle_due, self.drain, self.take_back),
            (self.come_early, self.drain, self.take_back, self.be_born),
            (self.drain, self.take_back, self.close, self.win),
            (self.drain, self.take_back, self.earn, self.settle_due),
            (),
        )

    def follow(self, plot: Sequence[Callable[[], None]]) -> None:
        """Go along a plot, straight or with anything else in between."""
        straight = self.chance(6)
        for happening in plot:
            if not straight and self.chance(4):
                self.next_happening()
            self._straight = straight
            happening()
            self._straight = False

    def next_happening(self) -> None:
        """What comes next is drawn from what the state of things makes interesting."""
        friends = self.friends()
        granted = any(friend["payout_granted"] > 0 for friend in friends)
        lost = any(payment["charged_back"] > 0 for payment in self.known.payments())
        choices = [self.earn, self.disturb, self.disturb, self.come_early, self.flag, self.top_up, self.settle_anywhen]
        choices += [self.newcomer, self.flag, self.close]
        if granted:
            choices += [self.take_back] * 4 + [self.drain] * 4 + [self.lapse] * 3 + [self.top_up]
        else:
            choices += [self.earn, self.settle_due]
        if lost:
            choices += [self.win] * 5
        if self._unborn:
            choices += [self.be_born] * 4
        if any(friend["held"] or friend["refused"] for friend in friends):
            choices += [self.flag] * 2
        self.one_of(choices)()


@st.composite
def histories(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Step]:
    """A history of ten to thirty steps, about."""
    story = Story(draw)
    story.open_accounts()
    if story.chance(1):
        story.flag()
    story.earn()
    story.follow(story.one_of(story.plots()))
    for _ in range(draw(st.integers(2, 9))):
        story.next_happening()
    story.settle_soon()
    return story.steps
