"""The one clock that doors ask (DESIGN: Clock). Operations and queries never do: they are told."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from accounts.models import ClockOffset


def now() -> datetime:
    """Return the present instant in UTC; in the demo, moved by what /dev/clock/ has set."""
    return timezone.now() + offset()


def offset() -> timedelta:
    """Return how far the demo's clock runs ahead of the real one; nothing outside the demo."""
    if not settings.DEMO:
        return timedelta()
    row = ClockOffset.objects.first()
    return row.ahead if row else timedelta()
