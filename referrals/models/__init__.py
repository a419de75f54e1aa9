"""The programme: its terms, who referred whom, what that has earned, and who decided what."""

from referrals.models.decisions import AbuseEvidence, AbuseReport, Decision, DecisionReason, FraudFlag
from referrals.models.links import BenefitCard, Channel, ReferralLink, VisitCount, VisitFlush
from referrals.models.referrals import EARNED, NEVER, NEXT_DUE, Referral, ReferralChange
from referrals.models.rewards import Clawback, Reward
from referrals.models.terms import ProgrammeTerms

__all__ = [
    "EARNED",
    "NEVER",
    "NEXT_DUE",
    "AbuseEvidence",
    "AbuseReport",
    "BenefitCard",
    "Channel",
    "Clawback",
    "Decision",
    "DecisionReason",
    "FraudFlag",
    "ProgrammeTerms",
    "Referral",
    "ReferralChange",
    "ReferralLink",
    "Reward",
    "VisitCount",
    "VisitFlush",
]
