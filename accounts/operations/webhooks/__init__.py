"""Webhooks out: written in the transaction of what they tell of, numbered after it, and delivered."""

from accounts.operations.webhooks.delivery import (
    Told,
    UnableToResend,
    claim_webhooks,
    deliver_webhooks,
    record_answer,
    resend_webhook,
)
from accounts.operations.webhooks.endpoints import (
    UnableToHook,
    add_endpoint,
    rotate_secret,
    secret_of,
    send_test,
    switch_endpoint_off,
    switch_endpoint_on,
)
from accounts.operations.webhooks.numbering import number_webhooks
from accounts.operations.webhooks.retention import empty_webhooks
from accounts.operations.webhooks.writing import WEBHOOK_EVENT, wanted

__all__ = [
    "WEBHOOK_EVENT",
    "Told",
    "UnableToHook",
    "UnableToResend",
    "add_endpoint",
    "claim_webhooks",
    "deliver_webhooks",
    "empty_webhooks",
    "number_webhooks",
    "record_answer",
    "resend_webhook",
    "rotate_secret",
    "secret_of",
    "send_test",
    "switch_endpoint_off",
    "switch_endpoint_on",
    "wanted",
]
