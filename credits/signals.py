"""What credits tell the apps above: one receiver each, called in the sender's own transaction."""

from django.dispatch import Signal

coupons_expired = Signal()
"""What was left on coupons has expired: `coupon_ids` (list of int), and `now`, their entries' `recorded_at`."""

coupons_expiring = Signal()
"""Coupons with something left expire after `after` and at or before `until`, `days` from `now`."""
