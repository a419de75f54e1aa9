"""A plain reading of the programme terms, in memory, to judge the engine by.

Written from TERMS.md alone and from no other code. Slow on purpose: every rule is read again from the facts each time
that it is needed, so that each method can be compared with its sentence. Money is `Decimal` dollars with two places,
times are aware instants in UTC, nothing here reads a clock.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.plain_facts import (
    CENT,
    NO_RATES,
    REWARD_KINDS,
    ZERO,
    Account,
    Coupon,
    Debt,
    Outcome,
    Payment,
    Rates,
    RedemptionFact,
    Reward,
    Row,
    SpendFact,
    Tally,
    Terms,
    UnableToGiveBack,
    UnableToRecord,
    Use,
    rate_of,
    read_account,
    read_redemption,
    read_spend,
    refuse_future,
)

__all__ = ["Account", "Outcome", "Payment", "Programme", "Terms", "UnableToGiveBack"]

# -------------------------------------------------------------------------------------------------------- the programme


class Programme:
    """All customers, facts, rewards and coupons of one programme."""

    def __init__(self, terms: Sequence[Terms], products: Mapping[str, bool], rates: Rates = NO_RATES) -> None:
        """`products` says of each product code whether it has `earns_credit`; `rates`, what one unit of each currency
        was worth in dollars on each banking day."""
        self._terms = sorted(terms, key=lambda version: version.starts_at)
        self._products = dict(products)
        self._rates = rates
        self._accounts: dict[str, Account] = {}
        self._spend: dict[str, SpendFact] = {}
        self._payments: dict[str, Payment] = {}
        self._waiting: list[SpendFact] = []
        self._redemptions: dict[str, RedemptionFact] = {}
        self._uses: dict[str, list[Use]] = {}
        self._coupons: list[Coupon] = []
        self._debts: list[Debt] = []
        self._rewards: dict[tuple[str, str], Reward] = {}
        self._held: set[str] = set()
        self._refused: set[str] = set()
        self._closed: set[str] = set()

    # ------------------------------------------------------------------------------------------------ accounts

    def import_accounts(self, rows: Sequence[Row], now: datetime) -> Outcome:
        """Record accounts; each gets its trial, and if referred its welcome credit, at `registered_at`.

        TERMS: Facts that are refused, What a new customer gets. A referrer may stand anywhere in the file and counts
        only if it is itself accepted. So the file is read again and again, each time believing in the accounts that
        the last reading accepted, at first in all of them, until a reading changes nothing. Thus a row falls only
        where there is a reason. A file that never comes to rest (a row takes the address of its own referrer)
        has its rows refused for good once they have been refused as `referrer`.
        """
        believed: dict[str, Account] | None = None
        doomed: set[int | None] = set()
        for reading in itertools.count():
            tally, accepted = self.read_accounts(rows, now, believed, doomed)
            if accepted == believed:
                break
            believed = accepted
            if reading > len(rows):
                doomed |= {refusal.row for refusal in tally.refusals if refusal.code == "referrer"}
        self.register_all(accepted.values())
        return tally.outcome()

    def register_all(self, accounts: Iterable[Account]) -> None:
        """Take in accounts that have been accepted."""
        for account in accounts:
            self._register(account)

    def read_accounts(
        self, rows: Sequence[Row], now: datetime, believed: dict[str, Account] | None, doomed: set[int | None]
    ) -> tuple[Tally, dict[str, Account]]:
        """One reading of the file, in order; `believed` None takes every referrer for good."""
        tally = Tally()
        accepted: dict[str, Account] = {}
        for place, row in enumerate(rows):
            try:
                account = read_account(row)
                known = {**self._accounts, **accepted}
                if self._is_duplicate(account, known.get(account.account_id)):
                    tally.verdicts[place] = "duplicate"
                    continue
                self._check_account(account, known, now)
                if believed is not None:
                    self._check_referrer(account, {**self._accounts, **believed})
                if place in doomed:
                    raise UnableToRecord("referrer")
            except UnableToRecord as refusal:
                tally.refuse(place, row["account_id"], refusal.code)
                continue
            accepted[account.account_id] = account
            tally.verdicts[place] = "accepted"
        return tally, accepted

    @staticmethod
    def _is_duplicate(fact: object, known: object | None) -> bool:
        """The same fact with the same id is a duplicate; an id known with other content is a `conflict`."""
        if known is not None and known != fact:
            raise UnableToRecord("conflict")
        return known is not None

    def _check_account(self, account: Account, known: Mapping[str, Account], now: datetime) -> None:
        refuse_future(account.registered_at, now)
        if account.registered_at < self._terms[0].starts_at:
            raise UnableToRecord("time")
        # Whoever closes their account gives its address free.
        if account.email in {other.email for other in known.values() if other.account_id not in self._closed}:
            raise UnableToRecord("email")

    @staticmethod
    def _check_referrer(account: Account, known: Mapping[str, Account]) -> None:
        """`referrer`: unknown, oneself, or registered later than the friend."""
        if not account.referred_by:
            return
        referrer = known.get(account.referred_by)
        if referrer is None or account.referred_by == account.account_id:
            raise UnableToRecord("referrer")
        if referrer.registered_at > account.registered_at:
            raise UnableToRecord("referrer")

    def _register(self, account: Account) -> None:
        self._accounts[account.account_id] = account
        terms = self._terms_of(account)
        if account.referred_by:
            welcome = terms.welcome[account.account_type]
            self._issue(account.account_id, "welcome", "", welcome, account.registered_at, terms.credit_days)
            for kind in REWARD_KINDS:
                self._rewards[account.account_id, kind] = Reward()
        trial = terms.trial[account.account_type]
        self._issue(account.account_id, "trial", "", trial, account.registered_at, terms.trial_days)

    def _terms_of(self, account: Account) -> Terms:
        """The version in force when the account registered: the latest start not after it (TERMS: preamble)."""
        return [version for version in self._terms if version.starts_at <= account.registered_at][-1]

    def _issue(self, account_id: str, kind: str, friend_id: str, amount: Decimal, at: datetime, days: int) -> None:
        coupon = Coupon(len(self._coupons), account_id, kind, friend_id, amount, at, at + timedelta(days=days))
        coupon.write("ISSUE", amount, at)
        self._coupons.append(coupon)

    # --------------------------------------------------------------------------------------------------- spend

    def import_spend(self, rows: Sequence[Row], now: datetime) -> Outcome:
        """Record payments and reversals in the order in which they stand, as if each came alone."""
        tally = Tally()
        for place, row in enumerate(rows):
            try:
                fact = read_spend(row)
                if self._is_duplicate(fact, self._spend.get(fact.event_id)):
                    tally.verdicts[place] = "duplicate"
                    continue
                self._check_spend(fact, now)
                applied = self._record(fact)
            except UnableToRecord as refusal:
                tally.refuse(place, row["event_id"], refusal.code)
                continue
            self._spend[fact.event_id] = fact
            if applied:
                tally.verdicts[place] = "accepted"
                self._try_waiting(fact.payment_id or fact.event_id, tally)
            else:
                tally.verdicts[place] = "waiting"
                tally.waiting_rows[fact.event_id] = place
                self._waiting.append(fact)
        return tally.outcome()

    def _check_spend(self, fact: SpendFact, now: datetime) -> None:
        """All that can be judged at arrival: `currency`, `account`, `product`, `time`, in this order."""
        self._check_currency(fact)
        account = self._accounts.get(fact.account_id)
        if account is None:
            raise UnableToRecord("account")
        if fact.payment_id:
            self._check_account_of_reversal(fact)
        elif fact.product not in self._products:
            raise UnableToRecord("product")
        if fact.type == "payment" and fact.occurred_at < account.registered_at:
            raise UnableToRecord("time")
        refuse_future(fact.occurred_at, now)

    def _check_currency(self, fact: SpendFact) -> None:
        """`currency`: unknown, another than the payment's, or without an exchange rate."""
        if fact.type == "payment":
            rate_of(fact, self._rates)
            return
        payment = self._payments.get(fact.payment_id)
        if fact.currency not in ({payment.fact.currency} if payment else {"USD", *self._rates}):
            raise UnableToRecord("currency")

    def _check_account_of_reversal(self, fact: SpendFact) -> None:
        payment = self._payments.get(fact.payment_id)
        if payment is not None and payment.fact.currency != fact.currency:
            raise UnableToRecord("currency")
        if payment is not None and payment.fact.account_id != fact.account_id:
            raise UnableToRecord("account")

    def _record(self, fact: SpendFact) -> bool:
        """Let the fact count; False if it has to wait, with nothing changed.

        TERMS: What counts as spend. Whether a payment qualifies is decided here, once.
        """
        if fact.type == "payment":
            self._payments[fact.event_id] = Payment(fact, self._products[fact.product], rate_of(fact, self._rates))
            return True
        payment = self._payments.get(fact.payment_id)
        if payment is None:
            return False
        if fact.type == "chargeback_reversal":
            if fact.amount > payment.charged_back - payment.won:
                return False
            payment.won += fact.amount
            return True
        if fact.amount > payment.net:
            raise UnableToRecord("exceeds")
        if fact.type == "refund":
            payment.refunded += fact.amount
        else:
            payment.charged_back += fact.amount
        return True

    def _try_waiting(self, payment_id: str, tally: Tally) -> None:
        """Try what waits for this payment: whole passes, in order of arrival, until a pass applies none."""
        applied_in_pass = True
        while applied_in_pass:
            applied_in_pass = False
            for fact in [waiting for waiting in self._waiting if waiting.payment_id == payment_id]:
                place = tally.waiting_rows.get(fact.event_id)
                try:
                    self._check_account_of_reversal(fact)
                    applied = self._record(fact)
                except UnableToRecord as refusal:
                    self._waiting.remove(fact)
                    del self._spend[fact.event_id]  # a refused fact leaves no trace on its id
                    tally.waiting_rows.pop(fact.event_id, None)
                    tally.refuse(place, fact.event_id, refusal.code)
                    continue
                if applied:
                    self._waiting.remove(fact)
                    applied_in_pass = True
                    if place is not None:
                        tally.verdicts[place] = "accepted"

    # ---------------------------------------------------------------------------------------------- redemptions

    def import_redemptions(self, rows: Sequence[Row], now: datetime) -> Outcome:
        """Spend credit, never the trial: soonest-expiring first, then in the order issued (TERMS: Credit)."""
        tally = Tally()
        for place, row in enumerate(rows):
            try:
                fact = read_redemption(row)
                if self._is_duplicate(fact, self._redemptions.get(fact.redemption_id)):
                    tally.verdicts[place] = "duplicate"
                    continue
                if fact.account_id not in self._accounts:
                    raise UnableToRecord("account")
                refuse_future(fact.occurred_at, now)
                self._redeem(fact)
            except UnableToRecord as refusal:
                tally.refuse(place, row["redemption_id"], refusal.code)
                continue
            tally.verdicts[place] = "accepted"
        return tally.outcome()

    def _redeem(self, fact: RedemptionFact) -> None:
        coupons = [
            coupon
            for coupon in self._coupons
            if coupon.account_id == fact.account_id
            and coupon.kind != "trial"
            and coupon.remaining > 0
            and coupon.usable(fact.occurred_at)
        ]
        if sum((coupon.remaining for coupon in coupons), ZERO) < fact.amount:
            raise UnableToRecord("insufficient")
        self._redemptions[fact.redemption_id] = fact
        uses = self._uses[fact.redemption_id] = []
        needed = fact.amount
        for coupon in sorted(coupons, key=lambda coupon: (coupon.expires_at, coupon.issued_at, coupon.number)):
            part = min(needed, coupon.remaining)
            if part > 0:
                coupon.redeem(part, fact.occurred_at)
                uses.append(Use(coupon, part))
                needed -= part

    def give_back(self, redemption_id: str, amount: Decimal, at: datetime) -> None:
        """Return part of what a redemption used, to the same coupons in reverse order of use (TERMS: Credit)."""
        uses = self._uses[redemption_id]
        if not ZERO < amount <= sum((use.amount for use in uses), ZERO):
            raise UnableToGiveBack(redemption_id)
        for use in reversed(uses):
            part = min(amount, use.amount)
            if part > 0:
                use.amount -= part
                amount -= part
                self._give_back_to(use.coupon, part, at)

    def _give_back_to(self, coupon: Coupon, amount: Decimal, at: datetime) -> None:
        """First against an open debt of the same reward, expired at once where the expiry has passed."""
        coupon.take_return(amount, at)
        for debt in self._open_debts(coupon.account_id):
            part = min(amount, debt.outstanding)
            if (debt.friend_id, debt.kind) == (coupon.friend_id, coupon.kind) and part > 0:
                debt.outstanding -= part
                coupon.revoke(part, at)
                amount -= part
        if amount == 0:
            return
        if coupon.expires_at <= at:
            coupon.expire(amount, at)
        elif coupon.account_id in self._closed or (coupon.kind == "welcome" and coupon.account_id in self._refused):
            coupon.revoke(amount, at)

    # ------------------------------------------------------------------------------------------ flags, refusals

    def hold(self, friend_id: str) -> None:
        """Open a flag of severity hold: the grants of this referral stop and nothing else (TERMS: What ... earns)."""
        self._held.add(self._referral(friend_id).account_id)

    def release(self, friend_id: str) -> None:
        self._held.discard(self._referral(friend_id).account_id)

    def refuse(self, friend_id: str, at: datetime) -> None:
        """The referral earns $0 and the friend's unspent welcome credit is revoked, if it has not expired at `at`.

        A flag is released or refused: refusing is the end of a hold. Refusing again changes nothing.
        """
        if friend_id in self._refused:
            return
        self._held.discard(friend_id)
        self._refused.add(self._referral(friend_id).account_id)
        for coupon in self._coupons:
            of_friend = (coupon.account_id, coupon.kind) == (friend_id, "welcome")
            if of_friend and coupon.expires_at > at and coupon.remaining > 0:
                coupon.revoke(coupon.remaining, at)

    def lift(self, friend_id: str) -> None:
        """What is earned is restored (by the next settlement); revoked welcome credit does not come back."""
        self._refused.discard(self._referral(friend_id).account_id)

    # ------------------------------------------------------------------------------------------------- closing

    def close(self, account_id: str, at: datetime) -> None:
        """Coupons are revoked, if they have not expired at `at`, the trial too; debts are written off; what is not
        granted lapses (TERMS: When things change). What others earn by the account goes on.
        """
        self._expire(account_id, at)
        for coupon in self._coupons:
            if coupon.account_id == account_id and coupon.remaining > 0:
                coupon.revoke(coupon.remaining, at)
        for debt in self._open_debts(account_id):
            debt.outstanding = ZERO
        self._closed.add(account_id)

    def open_accounts(self) -> list[str]:
        """The ids of the accounts that are not closed, in the order recorded."""
        return [account_id for account_id in self._accounts if account_id not in self._closed]

    def _referral(self, friend_id: str) -> Account:
        friend = self._accounts[friend_id]
        if not friend.referred_by:
            raise KeyError(friend_id)
        return friend

    # ------------------------------------------------------------------------------------ spend and what it earns

    def _qualifying(self, friend: Account) -> list[Payment]:
        """The friend's qualifying payments in order of (`occurred_at`, `event_id`)."""
        payments = [
            payment
            for payment in self._payments.values()
            if payment.qualifies and payment.fact.account_id == friend.account_id
        ]
        return sorted(payments, key=lambda payment: (payment.fact.occurred_at, payment.fact.event_id))

    def _qualifying_spend(self, friend: Account) -> Decimal:
        return sum((payment.dollars for payment in self._qualifying(friend)), ZERO)

    def _window_spend(self, friend: Account) -> Decimal:
        """The sum of nets with `occurred_at` < R + 90 days."""
        end = friend.registered_at + timedelta(days=self._terms_of(friend).window_days)
        return sum((payment.dollars for payment in self._qualifying(friend) if payment.fact.occurred_at < end), ZERO)

    def _qualified_at(self, friend: Account) -> datetime | None:
        running = ZERO
        for payment in self._qualifying(friend):
            running += payment.dollars
            if running >= self._terms_of(friend).threshold:
                return payment.fact.occurred_at
        return None

    def _earned(self, friend: Account, kind: str) -> Decimal:
        """TERMS: What the referrer earns, per friend. A refused referral earns $0."""
        terms = self._terms_of(friend)
        if friend.account_id in self._refused or self._qualifying_spend(friend) < terms.threshold:
            return ZERO
        if kind == "payout":
            return terms.payout
        above = max(ZERO, self._window_spend(friend) - terms.threshold)
        return min((terms.bonus_rate * above).quantize(CENT, ROUND_HALF_UP), terms.cap - terms.payout)

    def _due(self, friend: Account, kind: str) -> datetime | None:
        terms = self._terms_of(friend)
        if kind == "bonus":
            return friend.registered_at + timedelta(days=terms.window_days + terms.bonus_days)
        qualified_at = self._qualified_at(friend)
        return None if qualified_at is None else qualified_at + timedelta(days=terms.payout_days)

    # ----------------------------------------------------------------------------------------------- settlement

    def settle(self, at: datetime) -> None:
        """Settle every customer as of `at`: expire, claw back, grant (TERMS: Settlement); who has closed, no more."""
        for account_id in self.open_accounts():
            self._expire(account_id, at)
            self._claw_back_all(account_id, at)
            self._grant_all(account_id, at)

    def _expire(self, account_id: str, at: datetime) -> None:
        """Settlement, 1. The credit is gone since `expires_at`, so that is the instant of the entry."""
        for coupon in self._coupons:
            if coupon.account_id == account_id and coupon.expires_at <= at and coupon.remaining > 0:
                coupon.expire(coupon.remaining, coupon.expires_at)

    def _friends(self, referrer_id: str) -> list[Account]:
        friends = [account for account in self._accounts.values() if account.referred_by == referrer_id]
        return sorted(friends, key=lambda friend: (friend.registered_at, friend.account_id))

    def _claw_back_all(self, referrer_id: str, at: datetime) -> None:
        """Settlement, 2, for each reward: payouts before bonuses, by the friend's registration, then account id."""
        for kind in REWARD_KINDS:
            for friend in self._friends(referrer_id):
                reward = self._rewards[friend.account_id, kind]
                too_much = reward.granted - reward.let_go - self._earned(friend, kind)
                if too_much > 0:
                    self._claw_back(friend, kind, reward, too_much, at)

    def _claw_back(self, friend: Account, kind: str, reward: Reward, difference: Decimal, at: datetime) -> None:
        coupons = [coupon for coupon in self._coupons if (coupon.friend_id, coupon.kind) == (friend.account_id, kind)]
        for coupon in sorted(coupons, key=lambda coupon: (coupon.issued_at, coupon.number), reverse=True):
            revoked = min(difference, coupon.remaining)
            if revoked > 0:
                coupon.revoke(revoked, at)
                reward.granted -= revoked
                difference -= revoked
        expired_unused = sum((coupon.expired for coupon in coupons), ZERO)
        let_go = min(difference, expired_unused - reward.let_go)
        reward.let_go += let_go
        difference -= let_go
        if difference > 0:
            reward.granted -= difference
            owner = friend.referred_by
            self._debts.append(
                Debt(len(self._debts), owner, friend.account_id, kind, difference, difference, incurred_at=at)
            )

    def _grant_all(self, referrer_id: str, at: datetime) -> None:
        """Settlement, 3: payouts, then bonuses, each by due, the friend's registration, the friend's account id."""
        for kind in REWARD_KINDS:
            due_friends: list[tuple[datetime, datetime, str]] = []
            for friend in self._friends(referrer_id):
                due = self._due(friend, kind)
                if due is not None and due <= at and friend.account_id not in self._held:
                    due_friends.append((due, friend.registered_at, friend.account_id))
            for _, _, friend_id in sorted(due_friends):
                self._grant(self._accounts[friend_id], kind, at)

    def _grant(self, friend: Account, kind: str, at: datetime) -> None:
        """Grant the difference: the referrer's open debts first, oldest first, and one coupon for the rest."""
        reward = self._rewards[friend.account_id, kind]
        difference = self._earned(friend, kind) - reward.granted
        if difference <= 0:
            return
        reward.granted += difference
        reward.ever_granted = True
        for debt in self._open_debts(friend.referred_by):
            part = min(difference, debt.outstanding)
            debt.outstanding -= part
            difference -= part
        if difference > 0:
            days = self._terms_of(friend).credit_days
            self._issue(friend.referred_by, kind, friend.account_id, difference, at, days)

    def _open_debts(self, account_id: str) -> list[Debt]:
        """The account's open debts, oldest first."""
        debts = [debt for debt in self._debts if debt.account_id == account_id and debt.outstanding > 0]
        return sorted(debts, key=lambda debt: (debt.incurred_at, debt.number))

    # ------------------------------------------------------------------------------------------------- what is so

    def coupons(self) -> list[dict[str, Any]]:
        """Every coupon, in the order of creation."""
        names = ("account_id", "kind", "friend_id", "amount", "remaining", "redeemed", "expired", "revoked")
        return [
            {name: getattr(coupon, name) for name in (*names, "issued_at", "expires_at")} for coupon in self._coupons
        ]

    def entries(self) -> list[dict[str, Any]]:
        """Every entry, coupon by coupon (`coupon` is its place in `coupons()`), in the order written."""
        return [
            {
                "coupon": coupon.number,
                "account_id": coupon.account_id,
                "type": entry.type,
                "amount": entry.amount,
                "balance_after": entry.balance_after,
                "occurred_at": entry.occurred_at,
            }
            for coupon in self._coupons
            for entry in coupon.entries
        ]

    def debts(self) -> list[dict[str, Any]]:
        """Every debt, settled ones too, in the order of creation."""
        names = ("account_id", "friend_id", "kind", "amount", "outstanding", "incurred_at")
        return [{name: getattr(debt, name) for name in names} for debt in self._debts]

    def referrals(self) -> list[dict[str, Any]]:
        """Every referral, in the order in which the friends were recorded."""
        return [self._referral_row(friend) for friend in self._accounts.values() if friend.referred_by]

    def _referral_row(self, friend: Account) -> dict[str, Any]:
        payout, bonus = (self._rewards[friend.account_id, kind] for kind in REWARD_KINDS)
        return {
            "friend_id": friend.account_id,
            "referrer_id": friend.referred_by,
            "status": self._status(friend),
            "qualifying_spend": self._qualifying_spend(friend),
            "window_spend": self._window_spend(friend),
            "qualified_at": self._qualified_at(friend),
            "payout_due_at": self._due(friend, "payout"),
            "bonus_due_at": self._due(friend, "bonus"),
            "payout_granted": payout.granted,
            "bonus_granted": bonus.granted,
            "payout_let_go": payout.let_go,
            "bonus_let_go": bonus.let_go,
            "held": friend.account_id in self._held,
            "refused": friend.account_id in self._refused,
        }

    def _status(self, friend: Account) -> str:
        payout = self._rewards[friend.account_id, "payout"]
        if friend.account_id in self._refused:
            return "refused"
        if friend.account_id in self._held:
            return "held"
        if payout.granted - payout.let_go > 0:
            return "paid"
        if self._qualifying_spend(friend) >= self._terms_of(friend).threshold:
            return "qualified"
        return "clawed_back" if payout.ever_granted else "joined"

    def payments(self) -> list[dict[str, Any]]:
        """Every recorded payment with its net, in the order recorded."""
        return [
            {
                "event_id": payment.fact.event_id,
                "account_id": payment.fact.account_id,
                "currency": payment.fact.currency,
                "qualifies": payment.qualifies,
                "amount": payment.fact.amount,
                "net": payment.net,
                "charged_back": payment.charged_back - payment.won,
                "won": payment.won,
                "occurred_at": payment.fact.occurred_at,
            }
            for payment in self._payments.values()
        ]

    def waiting(self) -> list[str]:
        """The event ids of the reversals that wait, in order of arrival."""
        return [fact.event_id for fact in self._waiting]

    def recorded(self) -> set[str]:
        """The event ids that are known: recorded or waiting."""
        return set(self._spend)
