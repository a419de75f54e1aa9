"""Every write of the programme."""

from referrals.operations.registration import admit, give_welcome
from referrals.operations.settlement import EVERYTHING, Due, Settled, settle
from referrals.operations.tracking import recompute, track

__all__ = [
    "EVERYTHING",
    "Due",
    "Settled",
    "admit",
    "give_welcome",
    "recompute",
    "settle",
    "track",
]
