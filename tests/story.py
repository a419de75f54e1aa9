"""A story that leaves a trace of every kind in the books, told once for a whole module of tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pgtrigger
from django.db import connection
from django.utils import timezone
from djmoney.money import Money

from accounts.facts import Refusal, Tally
from accounts.models import EligibilityMove, KnownIdentifier, User, WebhookEndpoint
from accounts.operations import (
    Identity,
    Message,
    Parked,
    add_endpoint,
    advance_run,
    create_api_key,
    finish_run,
    number_webhooks,
    park,
    pass_verification,
    rotate_secret,
    start_run,
    webhooks,
    write_messages,
)
from accounts.webhook_posting import Answer
from billing.gateways import Card, News, ToldDispute
from billing.models import Charge, Order, PaymentMethod, SandboxCharge, SandboxRefund
from billing.operations import (
    LineFact,
    ToldMethod,
    add_card,
    arrange_payment,
    place_order,
    record_dispute,
    record_spend,
    record_told_method,
    redeem_purchase,
)
from billing.operations.orders import conclude_order, record_answer, record_undone
from billing.operations.payment_methods import record_news, remember_name, take_card_off
from billing.operations.refunds import ask_refund, fail_refund, record_refund
from billing.queries.checkout import Wanted, quote
from credits.operations import NewCoupon, issue_coupons
from credits.operations.redemptions import redeem
from credits.operations.returns import give_back
from referrals.models import Referral, ReferralLink
from referrals.operations import (
    close_account,
    disqualify,
    open_flag,
    record_visits,
    refuse,
    release_flag,
    settle,
)
from referrals.operations.abuse import ToldAbuse, report_abuse
from referrals.operations.enterprise import grant_enterprise_difference
from referrals.tally import Visit
from tests import pristine
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, refund, register


@contextmanager
def told_story() -> Iterator[None]:
    """Commit the story, and take it away at the end."""
    try:
        cause_everything()
        yield
    finally:
        with pgtrigger.ignore():
            pristine.restore(connection)
        connection.close()


def cause_everything() -> None:
    """Let happen whatever leaves a trace in the books, by the operations that do it."""
    staff = User.objects.create_user("staff@example.com", is_staff=True, created_at=JANUARY)
    listen(staff)
    alice = register("alice")
    link = ReferralLink.objects.create(owner=alice, code="alices-link", created_at=JANUARY)
    for number, channel in enumerate(["link", "whatsapp"], start=1):
        visit = Visit(link.pk, JANUARY.date(), channel)
        record_visits(batch_id=f"batch-{number}", visits={visit: number}, now=JANUARY)
    friends = {name: register(name, referred_by=alice) for name in ("bob", "cem", "dan", "eve", "fay")}
    grow_into_an_enterprise(friends["fay"])
    pay_lines_with_credit()
    doubt(Referral.objects.get(friend=friends["dan"]), Referral.objects.get(friend=friends["eve"]), staff)
    take_back_a_spent_payout(alice, friends["bob"])
    let_an_expired_payout_go(alice, friends["cem"])
    read_a_file(friends["bob"])
    record(refund("bob", "waits", "1", "unknown"), dispute_won("bob", "waits-too", "5", "bob-9"))
    park(kind="spend", rows=[Parked("billing damaged", ValueError("a damaged row"), fact={})], now=NOW)
    person = Identity("DE", "passport", "C01X00T47")
    pass_verification(user_id=alice.pk, identity=person, account_type="individual", now=NOW)
    leave_traces_of_accounts(alice, friends["bob"])
    pay_in_every_way(alice, friends["bob"])
    order_at_our_own_checkout(alice, friends["bob"])
    take_orders_back_in_every_way(alice, friends["bob"], staff)
    gus = register("gus")
    ReferralLink.objects.create(owner=gus, code="gus-link", created_at=JANUARY)
    disqualify(user_id=gus.pk, actor=staff, reason="Card theft.", now=NOW)
    settle(as_of=NOW, now=NOW)
    go_with_a_debt()
    tell_those_who_listen()


def listen(staff: User) -> None:
    """Two endpoints: one of rewards, one of flags, whose secret was rotated."""
    rewards = ["reward.granted", "reward.clawed_back"]
    add_endpoint(url="https://rewards.example.com/", events=rewards, actor=staff, now=JANUARY)
    flags, _ = add_endpoint(url="https://flags.example.com/", events=["flag.opened"], actor=None, now=JANUARY)
    rotate_secret(endpoint_id=flags.pk, overlap=timedelta(days=1), now=JANUARY)


def tell_those_who_listen() -> None:
    """Each message is taken but the first of the flags, whose endpoint is gone by then."""
    number_webhooks(now=NOW)
    for endpoint in WebhookEndpoint.objects.order_by("pk"):
        while claimed := webhooks.claim_webhooks(endpoint_id=endpoint.pk, most=100, now=NOW):
            for one in claimed:
                answer = Answer(410 if "flags" in endpoint.url else 204, milliseconds=5)
                webhooks.record_answer(claimed=one, answer=answer, now=NOW)


def leave_traces_of_accounts(alice: User, bob: User) -> None:
    for customer, other in ((alice, bob), (bob, alice)):
        name = customer.account_id
        EligibilityMove.objects.create(identity_digest=name, from_account=customer, to_account=other, moved_at=NOW)
        KnownIdentifier.objects.create(kind="email", digest=name, customer=customer, recorded_at=NOW)
        write_messages(messages=[Message(f"mail-of-{name}", "credit_arrived", customer.pk)], now=NOW)
        create_api_key(name=name, scopes=["spend:write"], expires_at=NOW + timedelta(days=1), actor=customer, now=NOW)


def pay_in_every_way(alice: User, bob: User) -> None:
    """A card of each, another one of alice's removed, what staff arranged, and what a gateway told."""
    for number, customer in enumerate((alice, alice, bob)):
        card = Card(f"card-{number}", "visa", "4242", 12, 2030, f"fingerprint-{number}")
        add_card(customer_id=customer.pk, gateway="sandbox", card=card, now=NOW)
    gone = PaymentMethod.objects.get(token="card-1")
    take_card_off(customer_id=alice.pk, method_id=gone.pk, now=NOW)
    arrange_payment(customer_id=alice.pk, now=NOW)
    for customer in (alice, bob):
        told = ToldMethod(JANUARY, None, f"told-of-{customer.account_id}")
        record_told_method(customer_id=customer.pk, told=told, now=NOW)
        name = f"cus_{customer.account_id}"
        remember_name(customer_id=customer.pk, gateway="stripe", token=name, now=NOW)
        event: dict[str, Any] = {"event_id": f"evt_{name}", "event_type": "customer.updated", "news": News()}
        record_news(gateway="stripe", now=NOW, **event)


def pay_lines_with_credit() -> None:
    """A purchase of two lines, of which the welcome credit pays a part, and one for which nothing is left."""
    lines = [LineFact("domain", "9"), LineFact("ecs", "12")]
    for number in (1, 2):
        redeem_purchase(
            source="billing", redemption_id=f"purchase-{number}", account_id="fay", lines=lines, now=day(1, 20)
        )


def order_at_our_own_checkout(alice: User, bob: User) -> None:
    """Each has an order that waits for its gateway, pays another by trial, credit and card, and has a third one whose
    credit is gone before it is paid, so that its charge goes back.

    In steps, since a gateway is not asked within a test's transaction.
    """
    for customer in (alice, bob):
        PaymentMethod.objects.filter(customer=customer, gateway="sandbox", removed_at=None).update(is_default=True)
        # Not for longer than a day, by any clock.
        order(customer, key="waits", wanted=[Wanted("domain", 1)], at=max(NOW, timezone.now()))
        issue_coupons(coupons=[a_goodwill(customer, 1)], now=NOW)
        pay(order(customer, key="paid"))
        issue_coupons(coupons=[a_goodwill(customer, 2)], now=NOW)
        late = order(customer, key="too-late")
        everything = sum((part.amount for part in late.coupons.all()), Money(0, "USD"))
        elsewhere: dict[str, Any] = {"customer_id": customer.pk, "amount": everything, "occurred_at": NOW, "now": NOW}
        redeem(source="billing", redemption_id=f"elsewhere-{customer.account_id}", **elsewhere)
        pay(late)


def a_goodwill(customer: User, number: int) -> NewCoupon:
    source, expires_at = f"goodwill:{customer.pk}:{number}", NOW + timedelta(days=180)
    return NewCoupon(customer.pk, "goodwill", None, source, Decimal(30), NOW, expires_at)


MUCH = [Wanted("ecs", 36), Wanted("kubernetes", 4), Wanted("domain", 1)]
"""More than trial and credit pay."""


def order(customer: User, *, key: str, wanted: list[Wanted] = MUCH, at: datetime = NOW) -> Order:
    seen = quote(customer_id=customer.pk, wanted=wanted, now=at).seen
    return place_order(customer_id=customer.pk, key=key, wanted=wanted, seen=seen, now=at)


def pay(placed: Order) -> None:
    """Pay an order, or find its credit gone, as if the sandbox had charged it and would give it back."""
    charge = Charge.objects.select_related("method").get(order=placed)
    SandboxCharge.objects.create(key=charge.key, token=charge.method.token, amount=charge.amount, outcome="made")
    told: dict[str, Any] = {"charge_id": charge.pk, "state": Charge.State.MADE, "now": NOW}
    record_answer(gateway_id=f"sandbox-charge-{charge.key}", **told)
    conclude_order(order_id=placed.pk, now=NOW)
    if Charge.objects.get(pk=charge.pk).state == Charge.State.UNDOING:
        taken = SandboxCharge.objects.get(key=charge.key)
        SandboxCharge.objects.filter(pk=taken.pk).update(refunded=taken.amount)
        SandboxRefund.objects.create(charge=taken, key=f"undo:{charge.key}", amount=taken.amount)
        record_undone(charge_id=charge.pk, now=NOW)


def take_orders_back_in_every_way(alice: User, bob: User, staff: User) -> None:
    """Of each one's paid order a part is refunded, another is not, and a part of the charge is disputed: alice's bank
    decides for itself after all, bob's for him. A refund of alice's is on its way."""
    for customer in (alice, bob):
        paid = Order.objects.get(customer=customer, key="paid")
        asked: dict[str, Any] = {"order_id": paid.pk, "actor": staff, "reason": "A wish."}
        back = ask_refund(key=f"part-{paid.number}", lines=[(1, Decimal(5)), (3, Decimal(1))], now=NOW, **asked)
        name = f"sandbox-refund-{back.pk}"
        taken = SandboxCharge.objects.get(key=paid.charge.key)
        SandboxCharge.objects.filter(pk=taken.pk).update(refunded=back.cash)
        SandboxRefund.objects.create(charge=taken, key=name, amount=back.cash)
        record_refund(refund_id=back.pk, gateway_id=name, now=NOW)
        refused = ask_refund(key=f"refused-{paid.number}", lines=[(1, Decimal(2))], now=NOW, **asked)
        fail_refund(refund_id=refused.pk, now=NOW)
        for state in ("open", "lost") if customer == alice else ("open", "won"):
            told = ToldDispute(f"dp-{paid.number}", (paid.charge.gateway_id,), "", Decimal(5), state)
            record_dispute(gateway="sandbox", told=told, now=NOW)
    # Not for longer than a day, by any clock.
    on_its_way: dict[str, Any] = {"key": "on its way", "lines": [(1, Decimal(3))], "now": max(NOW, timezone.now())}
    alices = Order.objects.get(customer=alice, key="paid")
    ask_refund(order_id=alices.pk, actor=staff, reason="A wish.", **on_its_way)


def grow_into_an_enterprise(customer: User) -> None:
    User.objects.filter(pk=customer.pk).update(account_type="enterprise")
    assert grant_enterprise_difference(user_id=customer.pk, now=day(1, 10)) == 2


def take_back_a_spent_payout(alice: User, bob: User) -> None:
    """TERMS, example 7, with a part of what was spent given back while the debt is open."""
    record(
        fact(bob, "bob-12", "12", day(1, 5)), fact(bob, "bob-9", "9", day(1, 20)), fact(bob, "cdn", "9", product="cdn")
    )
    settle(as_of=day(5, 1), now=NOW)
    redeem(
        source="console",
        redemption_id="order",
        customer_id=alice.pk,
        amount=Money("15", "USD"),
        occurred_at=day(5, 2),
        now=NOW,
    )
    record(chargeback(bob, "bob-12-back", "12", "bob-12"))
    settle(as_of=day(5, 3), now=NOW)
    give_back(
        source="console",
        redemption_id="order",
        return_id="order-back",
        amount=Money("4", "USD"),
        occurred_at=day(5, 4),
        now=NOW,
    )
    record(dispute_won(bob, "bob-12-won", "12", "bob-12"))
    settle(as_of=day(5, 5), now=NOW)


def let_an_expired_payout_go(alice: User, cem: User) -> None:
    record(fact(cem, "cem-30", "30", day(1, 6)))
    settle(as_of=day(2, 10), now=NOW)
    settle(as_of=day(9, 1), now=NOW)
    record(chargeback(cem, "cem-30-back", "30", "cem-30"))
    settle(as_of=day(9, 2), now=NOW)


def read_a_file(bob: User) -> None:
    run = start_run(kind="spend", file_digest="digest", now=NOW)
    waiting = [refund(bob, "file-waits", "1", "not-there")._replace(line=2)]
    record_spend(source="billing", facts=waiting, now=NOW, run=run, lines_done=2)
    refusal = Refusal(3, "amount", "the amount is zero", {"event_id": "e"})
    run.refresh_from_db()
    advance_run(run=run, lines_done=3, tally=Tally(refused=1), refusals=[refusal])
    run.refresh_from_db()
    finish_run(run=run, now=NOW)


def go_with_a_debt() -> None:
    """A customer closes the account whose payout was spent, and then charged back."""
    hal = register("hal")
    ReferralLink.objects.create(owner=hal, code="hals-link", created_at=JANUARY)
    ida = register("ida", referred_by=hal)
    record(fact(ida, "ida-30", "30", day(1, 6)))
    settle(as_of=NOW, now=NOW)
    whole: dict[str, Any] = {"customer_id": hal.pk, "amount": Money("20", "USD"), "occurred_at": NOW, "now": NOW}
    redeem(source="console", redemption_id="hals-order", **whole)
    record(chargeback(ida, "ida-30-back", "30", "ida-30"))
    settle(as_of=NOW, now=NOW)
    close_account(user_id=hal.pk, now=NOW)


def doubt(dans: Referral, eves: Referral, staff: User) -> None:
    by: dict[str, Any] = {"actor": staff, "reason": "A doubt.", "now": NOW}
    flag = open_flag(referral_id=dans.pk, rule="same card", severity="hold", evidence={}, **by)
    release_flag(flag_id=flag.pk, **by)
    open_flag(referral_id=dans.pk, rule="same device", severity="hold", evidence={}, **by)
    for name in ("dan", "alice"):
        report_abuse(told=ToldAbuse(f"report-on-{name}", name, "mining", "A hot machine."), now=NOW)
    refuse(referral_id=eves.pk, actor=staff, reason="Fraud.", now=day(2, 1))
