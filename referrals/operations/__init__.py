"""Every write of the programme."""

from referrals.operations.decisions import (
    UnableToDecide,
    disqualify,
    lift_refusal,
    open_flag,
    refuse,
    reinstate,
    release_flag,
    switch_link_off,
    switch_link_on,
)
from referrals.operations.registration import admit, give_welcome
from referrals.operations.settlement import EVERYTHING, Due, Settled, settle
from referrals.operations.tracking import recompute, track

__all__ = [
    "EVERYTHING",
    "Due",
    "Settled",
    "UnableToDecide",
    "admit",
    "disqualify",
    "give_welcome",
    "lift_refusal",
    "open_flag",
    "recompute",
    "refuse",
    "reinstate",
    "release_flag",
    "settle",
    "switch_link_off",
    "switch_link_on",
    "track",
]
