"""At what stage a referral is, the same for the pages and the export (DESIGN: Doors)."""

from django.db.models import TextChoices
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _


class Stage(TextChoices):
    """What becomes of a referral, in the words of its referrer's page."""

    JOINED = "joined", _("Joined")
    QUALIFIED = "qualified", _("Qualified")
    PAID = "paid", _("Paid")
    HELD = "held", _("Under review")
    REFUSED = "refused", _("Refused")
    CLAWED_BACK = "clawed_back", _("Clawed back")


STAGE = """
CASE
    WHEN referrals_referral.refused_at IS NOT NULL THEN 'refused'
    WHEN referrals_referral.held THEN 'held'
    WHEN referrals_referral.payout_granted - referrals_referral.payout_let_go > 0 THEN 'paid'
    WHEN referrals_referral.qualified_at IS NOT NULL THEN 'qualified'
    WHEN EXISTS (
        SELECT FROM referrals_reward AS reward
        WHERE reward.referral_id = referrals_referral.id AND reward.kind = 'payout'
    ) THEN 'clawed_back'
    ELSE 'joined'
END
"""


def stage() -> RawSQL:
    """Return the expression for a query of Referral."""
    return RawSQL(STAGE, ())  # noqa: S611  # a constant of the code
