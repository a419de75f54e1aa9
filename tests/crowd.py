"""A row of every model for each of many people, so that pages can be counted: not a true story."""

from datetime import timedelta
from typing import Any

from accounts.models import (
    ApiKey,
    EligibilityMove,
    IdentityVerification,
    ImportRun,
    KnownIdentifier,
    OutboxMessage,
    ParkedRow,
    RefusedFact,
    User,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
    WebhookSecret,
)
from billing.models import (
    Charge,
    Dispute,
    DisputeLine,
    GatewayCustomer,
    GatewayEvent,
    Order,
    OrderCoupon,
    OrderLine,
    PaymentMethod,
    Product,
    Refund,
    RefundLine,
    SandboxCharge,
    SandboxRefund,
    SpendBatch,
    SpendEvent,
    WaitingReversal,
)
from credits.models import (
    Coupon,
    CouponEntry,
    CreditAccount,
    Debt,
    DebtEntry,
    Redemption,
    RedemptionLine,
    RedemptionReturn,
)
from referrals.models import (
    AbuseEvidence,
    AbuseReport,
    BenefitCard,
    Clawback,
    Decision,
    DecisionReason,
    FraudFlag,
    ProgrammeTerms,
    Referral,
    ReferralLink,
    Reward,
    VisitCount,
    VisitFlush,
)
from tests.facts import NOW, day

MONEY = {"earned": 20, "qualifying_spend": 20, "window_spend": 20}


def gather(people: range) -> None:
    """Write a row of every model for each of these people, and as many friends."""
    friends = User.objects.bulk_create([person(f"friend-{n}") for n in people])
    referrers = User.objects.bulk_create([person(f"referrer-{n}") for n in people])
    who = list(zip(people, referrers, friends, strict=True))
    IdentityVerification.objects.bulk_create(
        [IdentityVerification(customer=user, submitted_digest="crowd") for _, user, _ in who]
    )
    gather_accounts(who)
    runs = ImportRun.objects.bulk_create([ImportRun(kind="spend", started_at=NOW, finished_at=NOW) for _ in people])
    RefusedFact.objects.bulk_create([RefusedFact(run=run, code="id", message="", fact={}) for run in runs])
    ParkedRow.objects.bulk_create([parked_tracking(friend) for _, _, friend in who])
    gather_webhooks(people)
    gather_credit(who)
    gather_spend(who, runs)
    gather_orders(who)
    gather_referrals(who)


def gather_accounts(who: list[tuple[int, User, User]]) -> None:
    EligibilityMove.objects.bulk_create(
        [
            EligibilityMove(identity_digest=f"crowd-{n}", from_account=user, to_account=friend, moved_at=NOW)
            for n, user, friend in who
        ]
    )
    KnownIdentifier.objects.bulk_create(
        [KnownIdentifier(kind="email", digest=f"crowd-{n}", customer=user, recorded_at=NOW) for n, user, _ in who]
    )
    a_card: dict[str, Any] = {"gateway": "sandbox", "expiry_month": 1, "expiry_year": 2030, "expires_at": NOW}
    a_card["added_at"] = NOW
    PaymentMethod.objects.bulk_create(
        [PaymentMethod(customer=user, token=f"crowd-{n}", **a_card) for n, user, _ in who]
    )
    GatewayCustomer.objects.bulk_create(
        [GatewayCustomer(customer=user, gateway="stripe", token=f"crowd-{n}", opened_at=NOW) for n, user, _ in who]
    )
    GatewayEvent.objects.bulk_create(
        [GatewayEvent(gateway="stripe", event_id=f"crowd-{n}", type="t", received_at=NOW) for n, _, _ in who]
    )
    OutboxMessage.objects.bulk_create(
        [OutboxMessage(key=f"crowd-{n}", kind="k", customer=user, created_at=NOW, due_at=NOW) for n, user, _ in who]
    )
    ApiKey.objects.bulk_create(
        [ApiKey(name="crowd", digest=f"{n:064x}", tail="tail", scopes=[], created_at=NOW) for n, _, _ in who]
    )


def gather_webhooks(people: range) -> None:
    endpoints = WebhookEndpoint.objects.bulk_create(
        [WebhookEndpoint(url=f"https://crowd.example.com/{n}", events=["flag.opened"], created_at=NOW) for n in people]
    )
    WebhookSecret.objects.bulk_create(
        [
            WebhookSecret(endpoint=endpoint, salt=f"{endpoint.pk:064x}", digest="0" * 64, tail="tail", created_at=NOW)
            for endpoint in endpoints
        ]
    )
    events = WebhookEvent.objects.bulk_create(
        [
            WebhookEvent(key=f"crowd-{n}", type="flag.opened", stream=f"crowd-{n}", payload={"n": n}, created_at=NOW)
            for n in people
        ]
    )
    deliveries = WebhookDelivery.objects.bulk_create(
        [
            WebhookDelivery(event=event, endpoint=endpoint, created_at=NOW, due_at=NOW, give_up_at=NOW)
            for event, endpoint in zip(events, endpoints, strict=True)
        ]
    )
    WebhookAttempt.objects.bulk_create(
        [WebhookAttempt(delivery=delivery, at=NOW, status=500, milliseconds=9) for delivery in deliveries]
    )


def person(name: str) -> User:
    return User(account_id=name, email=f"{name}@example.com", created_at=NOW, registered_at=NOW)


def parked_tracking(friend: User) -> ParkedRow:
    return ParkedRow(kind="tracking", key=friend.account_id, customer=friend, error="", parked_at=NOW, tried_at=NOW)


def gather_credit(who: list[tuple[int, User, User]]) -> None:
    accounts = CreditAccount.objects.bulk_create([CreditAccount(customer=user) for _, user, _ in who])
    when = {"occurred_at": NOW, "recorded_at": NOW}
    coupons = Coupon.objects.bulk_create(
        [
            Coupon(
                customer=account,
                kind="payout",
                friend=friend,
                source=f"crowd:{n}",
                amount=20,
                remaining=20,
                issued_at=NOW,
                expires_at=NOW + timedelta(days=180),
            )
            for account, (n, _, friend) in zip(accounts, who, strict=True)
        ]
    )
    redemptions = Redemption.objects.bulk_create(
        [
            Redemption(source="crowd", redemption_id=account.pk, customer=account, amount=1, **when)
            for account in accounts
        ]
    )
    RedemptionLine.objects.bulk_create(
        [
            RedemptionLine(redemption=one, position=1, product="ecs", accepts_credit=True, amount=1, paid=1)
            for one in redemptions
        ]
    )
    RedemptionReturn.objects.bulk_create(
        [RedemptionReturn(redemption=redemption, return_id="r", amount=1, **when) for redemption in redemptions]
    )
    CouponEntry.objects.bulk_create(
        [CouponEntry(coupon=coupon, type="ISSUE", amount=20, balance_after=20, **when) for coupon in coupons]
    )
    debts = Debt.objects.bulk_create(
        [
            Debt(
                customer=account,
                friend=friend,
                kind="payout",
                source=f"crowd:{n}",
                amount=5,
                outstanding=5,
                opened_at=NOW,
            )
            for account, (n, _, friend) in zip(accounts, who, strict=True)
        ]
    )
    DebtEntry.objects.bulk_create(
        [DebtEntry(debt=debt, type="OPEN", amount=5, balance_after=5, **when) for debt in debts]
    )


def gather_spend(who: list[tuple[int, User, User]], runs: list[ImportRun]) -> None:
    products = Product.objects.bulk_create(
        [
            Product(
                code=f"crowd-{n}", name="P", family="DNS", earns_credit=True, accepts_credit=True, accepts_trial=True
            )
            for n, _, _ in who
        ]
    )
    batches = SpendBatch.objects.bulk_create([SpendBatch(source="crowd", received_at=NOW, run=run) for run in runs])
    facts: list[dict[str, Any]] = [
        {"batch": batch, "source": "crowd", "customer": friend, "original_currency": "USD", "occurred_at": NOW}
        for batch, (_, _, friend) in zip(batches, who, strict=True)
    ]
    worth: dict[str, Any] = {"original_amount": 9, "amount": 9, "qualifies": True}
    payments = SpendEvent.objects.bulk_create(
        [
            SpendEvent(type="payment", event_id=f"p-{product.pk}", product=product, **worth, **fact)
            for product, fact in zip(products, facts, strict=True)
        ]
    )
    SpendEvent.objects.bulk_create(
        [
            SpendEvent(type="refund", event_id=f"r-{payment.pk}", payment=payment, **worth, **fact)
            for payment, fact in zip(payments, facts, strict=True)
        ]
    )
    WaitingReversal.objects.bulk_create(
        [
            WaitingReversal(
                type="refund", event_id=f"w-{n}", payment_event_id="none", original_amount=9, fact={}, **fact
            )
            for n, fact in enumerate(facts, start=payments[0].pk)
        ]
    )


def gather_orders(who: list[tuple[int, User, User]]) -> None:
    whole: dict[str, Any] = {"trial": 1, "credit": 2, "cash": 3}
    orders = Order.objects.bulk_create(
        [Order(customer=user, number=f"crowd-{n}", key="k", total=6, placed_at=NOW, **whole) for n, user, _ in who]
    )
    product = Product.objects.earliest("pk")
    lines = OrderLine.objects.bulk_create(
        [OrderLine(order=o, position=1, product=product, price=6, quantity=1, amount=6, **whole) for o in orders]
    )
    coupons = {coupon.customer_id: coupon for coupon in Coupon.objects.filter(source__startswith="crowd:")}
    OrderCoupon.objects.bulk_create([OrderCoupon(order=o, coupon=coupons[o.customer_id], amount=2) for o in orders])
    cards = {card.customer_id: card for card in PaymentMethod.objects.filter(token__startswith="crowd-")}
    asked = Charge.objects.bulk_create(
        [Charge(order=o, method=cards[o.customer_id], key=o.number, amount=3, asked_at=NOW) for o in orders]
    )
    charges = SandboxCharge.objects.bulk_create(
        [SandboxCharge(key=o.number, token="crowd", amount=3, outcome="made") for o in orders]
    )
    SandboxRefund.objects.bulk_create([SandboxRefund(charge=charge, key=charge.key, amount=1) for charge in charges])
    take_orders_back(lines, asked)


def take_orders_back(lines: list[OrderLine], charges: list[Charge]) -> None:
    part: dict[str, Any] = {"amount": 3, "trial": 0, "credit": 1, "cash": 2}
    refunds = Refund.objects.bulk_create(
        [Refund(order=one.order, key=one.order.number, actor_id=one.order.customer_id, asked_at=NOW, **part)
         for one in lines]
    )  # fmt: skip
    RefundLine.objects.bulk_create(
        [RefundLine(refund=refund, line=line, **part) for refund, line in zip(refunds, lines, strict=True)]
    )
    disputes = Dispute.objects.bulk_create(
        [Dispute(charge=charge, dispute_id=charge.key, amount=1, opened_at=NOW) for charge in charges]
    )
    DisputeLine.objects.bulk_create(
        [DisputeLine(dispute=dispute, line=line, amount=1) for dispute, line in zip(disputes, lines, strict=True)]
    )


def gather_referrals(who: list[tuple[int, User, User]]) -> None:
    versions = ProgrammeTerms.objects.bulk_create(
        [ProgrammeTerms(starts_at=day(1, 1, 2000) + timedelta(days=n)) for n, _, _ in who]
    )
    links = ReferralLink.objects.bulk_create(
        [ReferralLink(owner=user, code=f"crowd-{n}", created_at=NOW) for n, user, _ in who]
    )
    VisitCount.objects.bulk_create([VisitCount(link=link, day=NOW, channel="x", visits=1) for link in links])
    VisitFlush.objects.bulk_create([VisitFlush(flush_id=f"crowd-{n}", visits=1, flushed_at=NOW) for n, _, _ in who])
    BenefitCard.objects.bulk_create(
        [BenefitCard(title=f"Crowd {n}", text="A crowd.", link="/", link_label="Go") for n, _, _ in who]
    )
    referrals = Referral.objects.bulk_create(
        [
            Referral(friend=friend, referrer=user, terms=terms, registered_at=NOW, created_at=NOW, bonus_due_at=NOW)
            for terms, (_, user, friend) in zip(versions, who, strict=True)
        ]
    )
    first: dict[str, Any] = {"kind": "payout", "n": 1, "recorded_at": NOW, **MONEY}
    Reward.objects.bulk_create(
        [Reward(referral=one, amount=20, debts_settled=20, granted_at=NOW, **first) for one in referrals]
    )
    Clawback.objects.bulk_create(
        [
            Clawback(referral=one, revoked=20, let_go=0, debt=0, refused=False, clawed_back_at=NOW, **first)
            for one in referrals
        ]
    )
    flags = FraudFlag.objects.bulk_create(
        [FraudFlag(referral=one, rule="crowd", severity="note", opened_at=NOW) for one in referrals]
    )
    decisions = Decision.objects.bulk_create(
        [
            Decision(action="note", referral=flag.referral, flag=flag, actor=user, decided_at=NOW)
            for flag, (_, user, _) in zip(flags, who, strict=True)
        ]
    )
    DecisionReason.objects.bulk_create([DecisionReason(decision=decision, text="A crowd.") for decision in decisions])
    reports = AbuseReport.objects.bulk_create(
        [
            AbuseReport(report_id=f"crowd-{n}", customer=friend, kind="other", flag=flag, received_at=NOW)
            for flag, (n, _, friend) in zip(flags, who, strict=True)
        ]
    )
    AbuseEvidence.objects.bulk_create([AbuseEvidence(report=report, content="A crowd.") for report in reports])
