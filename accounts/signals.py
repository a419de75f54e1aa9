"""What accounts tell the apps above: one receiver each, called in the sender's own transaction."""

from django.dispatch import Signal

accounts_registered = Signal()
"""Accounts have registered: `user_ids` (list of int) and `now`. Their `signup_attribution` says who referred them."""

identity_verified = Signal()
"""An account has passed verification: `user_id` and `now`."""

messages_written = Signal()
"""Mails are in the outbox, and their transaction has committed: a hint to deliver them."""

payment_method_added = Signal()
"""An account has a payment method on file: `user_id` and `now`."""

eligibility_moved = Signal()
"""An account has become the eligible one of its person: `user_id`, `from_user_id` (or None), `by_person` and `now`."""
