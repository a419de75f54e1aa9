"""What staff are told of work that failed."""

from accounts.models import ParkedRow


def parked_rows() -> int:
    """Return how many rows are parked. One statement."""
    return ParkedRow.objects.filter(cleared_at=None).count()
