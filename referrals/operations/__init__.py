"""Every write of the programme."""

from referrals.operations.benefits import UnableToSetCard, add_card, change_card, require_known_placeholders
from referrals.operations.changes import forget_changes
from referrals.operations.closing import Closed, close_account
from referrals.operations.decisions import (
    UnableToDecide,
    disqualify,
    hand_eligibility,
    lift_refusal,
    open_flag,
    refuse,
    reinstate,
    release_flag,
    switch_link_off,
    switch_link_on,
)
from referrals.operations.enterprise import grant_enterprise_difference, welcome_verified
from referrals.operations.hooks import announce_expired, announce_expiring
from referrals.operations.links import carry_link, give_link
from referrals.operations.registration import admit, give_welcome
from referrals.operations.settlement import EVERYTHING, Due, Settled, settle
from referrals.operations.sign_ups import discard_unconfirmed
from referrals.operations.tracking import recompute, track
from referrals.operations.visits import flush_visits, record_visits

__all__ = [
    "EVERYTHING",
    "Closed",
    "Due",
    "Settled",
    "UnableToDecide",
    "UnableToSetCard",
    "add_card",
    "admit",
    "announce_expired",
    "announce_expiring",
    "carry_link",
    "change_card",
    "close_account",
    "discard_unconfirmed",
    "disqualify",
    "flush_visits",
    "forget_changes",
    "give_link",
    "give_welcome",
    "grant_enterprise_difference",
    "hand_eligibility",
    "lift_refusal",
    "open_flag",
    "recompute",
    "record_visits",
    "refuse",
    "reinstate",
    "release_flag",
    "require_known_placeholders",
    "settle",
    "switch_link_off",
    "switch_link_on",
    "track",
    "welcome_verified",
]
