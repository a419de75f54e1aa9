"""Webhooks out: who is told of what, what there is to tell, and how each telling went."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.ledger import kept


class WebhookType(models.TextChoices):
    """What an endpoint can be told of; a test goes to the one endpoint that staff send it to."""

    REFERRAL_CREATED = "referral.created"
    REFERRAL_QUALIFIED = "referral.qualified"
    REWARD_GRANTED = "reward.granted"
    REWARD_CLAWED_BACK = "reward.clawed_back"
    COUPON_EXPIRING = "coupon.expiring"
    COUPON_EXPIRED = "coupon.expired"
    FLAG_OPENED = "flag.opened"
    FLAG_CLOSED = "flag.closed"
    TEST = "webhook.test"


class WebhookEndpoint(models.Model):
    """An address that is told of the `events` in its list while it is on.

    What happens while it is off it is not told of; what waited for it then, waits on.
    """

    class OffReason(models.TextChoices):
        STAFF = "staff", "switched off by staff"
        GONE = "gone", "answered 410 Gone"

    url = models.CharField("URL", max_length=500, unique=True, db_collation="C")
    events = models.JSONField()
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    switched_off_at = models.DateTimeField(null=True, blank=True)
    off_reason = models.CharField(max_length=5, choices=OffReason, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="webhooks_go_to_the_web",
                condition=Q(url__startswith="https://") | Q(url__startswith="http://"),
            ),
            models.CheckConstraint(name="an_endpoint_wants_something", condition=~Q(events=[])),
            models.CheckConstraint(
                name="an_endpoint_is_off_for_a_reason",
                condition=Q(switched_off_at__isnull=True, off_reason="")
                | Q(switched_off_at__isnull=False, off_reason__in=["staff", "gone"]),
            ),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(name="an_endpoint_stays_itself", fields=["url", "created_at", "created_by"]),
        ]

    def __str__(self) -> str:
        return self.url


class WebhookSecretQuerySet(models.QuerySet["WebhookSecret"]):
    def signing_at(self, at: datetime) -> WebhookSecretQuerySet:
        """Newest first."""
        return self.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at)).order_by("-pk")


class WebhookSecret(models.Model):
    """What an endpoint's messages are signed with, until `ends_at`; the current one has no end.

    The secret itself is not kept: it is computed from `salt` and the site's SECRET_KEY. `digest` tells whether that
    still gives the secret that was shown.
    """

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="secrets")
    salt = models.CharField(max_length=64, unique=True, db_collation="C")
    digest = models.CharField(max_length=64, db_collation="C")
    tail = models.CharField(max_length=4)
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[WebhookSecretQuerySet] = WebhookSecretQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"], condition=Q(ends_at__isnull=True), name="an_endpoint_has_one_current_secret"
            ),
            models.CheckConstraint(
                name="webhook_secret_is_not_kept",
                condition=Q(salt__regex="^[0-9a-f]{64}$", digest__regex="^[0-9a-f]{64}$"),
            ),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(name="a_secret_stays", fields=["endpoint", "salt", "digest", "tail", "created_at"]),
        ]

    def __str__(self) -> str:
        return f"…{self.tail}"


class WebhookEvent(models.Model):
    """Something that endpoints are told of, written in the transaction in which it happened; `key` lets it be once.

    `stream` is what it belongs to (`referral:7`; without a referral, `account:` and the account's id), and `sequence`
    its number there: given after the commit, one by one, so that there is no gap. `payload` holds ids, codes, amounts
    and instants only, and is emptied when it is old.
    """

    key = models.CharField(max_length=200, unique=True, db_collation="C")
    type = models.CharField(max_length=20, choices=WebhookType)
    stream = models.CharField(max_length=120, db_collation="C")
    sequence = models.PositiveBigIntegerField(null=True, blank=True)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    only_for = models.ForeignKey(
        WebhookEndpoint, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stream", "sequence"], name="an_event_has_its_own_number_in_its_stream"),
            models.CheckConstraint(
                name="webhook_events_are_numbered_from_one", condition=Q(sequence__isnull=True) | Q(sequence__gte=1)
            ),
            models.CheckConstraint(name="webhook_type_is_listed", condition=Q(type__in=WebhookType)),
            models.CheckConstraint(name="webhook_event_has_a_key_and_a_stream", condition=~Q(key="") & ~Q(stream="")),
            models.CheckConstraint(
                name="a_test_is_for_one_endpoint",
                condition=Q(type="webhook.test", only_for__isnull=False)
                | (~Q(type="webhook.test") & Q(only_for__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="events_to_number", condition=Q(sequence__isnull=True)),
            models.Index(fields=["created_at"], name="events_that_still_say_it", condition=~Q(payload={})),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(name="an_event_stays", fields=["key", "type", "stream", "created_at", "only_for"]),
            pgtrigger.Protect(
                name="a_sequence_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__sequence__isnull=False)
                & pgtrigger.Q(old__sequence__df=pgtrigger.F("new__sequence")),
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def message_id(self) -> str:
        """The `webhook-id`: the same to every endpoint and for every try, by which a receiver knows it again."""
        return f"evt_{self.pk}"


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint.

    `due_at` is when to try (again); while somebody is trying, it is when their `lease` ends, after which another may.
    It is tried until `give_up_at`. `sent_at` is when the endpoint took it, and `ended_at` when it was done with.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        GIVEN_UP = "given_up", "given up"

    event = models.ForeignKey(WebhookEvent, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    give_up_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    lease = models.CharField(max_length=32, blank=True)
    is_resent = models.BooleanField(default=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=60, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="an_event_goes_to_an_endpoint_once"),
            models.CheckConstraint(
                name="delivery_state_is_listed", condition=Q(state__in=["pending", "delivered", "given_up"])
            ),
            models.CheckConstraint(
                name="delivery_has_ended_or_is_pending",
                condition=Q(state="pending", ended_at__isnull=True) | (~Q(state="pending") & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="delivered_has_its_instant", condition=~Q(state="delivered") | Q(sent_at__isnull=False)
            ),
        ]
        indexes = [
            models.Index(fields=["endpoint", "due_at"], name="deliveries_due", condition=Q(state="pending")),
            models.Index(fields=["ended_at"], name="deliveries_by_end", condition=Q(ended_at__isnull=False)),
        ]
        triggers = [
            pgtrigger.ReadOnly(name="a_delivery_stays_itself", fields=["event", "endpoint", "created_at"]),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class WebhookAttempt(models.Model):
    """One try to deliver: what the endpoint answered, or the kind of fault that kept it from answering."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=60, blank=True)
    milliseconds = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="attempt_was_answered_or_failed",
                condition=Q(status__isnull=False, error="") | (Q(status__isnull=True) & ~Q(error="")),
            ),
        ]
        triggers = [pgtrigger.Protect(name="an_attempt_stays", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return str(self.status or self.error)
