"""What billing tells the app above."""

from django.dispatch import Signal

spend_recorded = Signal()
"""A batch of spend has been recorded and committed: `batch_id`. The receiver hints that there is something to track."""
