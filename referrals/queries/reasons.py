"""Why a referral is under review or refused, in words that name nobody: by the rule, never by its evidence."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SHARED_CARD = _("a payment method was seen with another account, too")
SHARED_DEVICE = _("the same device was seen with another account")
SAME_PERSON = _("the person seems to have had an account already")
SPEND = _("the spend looks unusual")
UNKNOWN = _("our checks asked for a closer look")

# The first word that a rule's name holds decides.
WORDS: tuple[tuple[str, Promise], ...] = (
    ("card", SHARED_CARD),
    ("payment", SHARED_CARD),
    ("device", SHARED_DEVICE),
    ("address", SHARED_DEVICE),
    ("identity", SAME_PERSON),
    ("person", SAME_PERSON),
    ("spend", SPEND),
)


def reason_of(rule: str) -> Promise:
    """Return why a flag of this rule was opened; staff name rules freely, so that an unknown one says no more."""
    return next((words for word, words in WORDS if word in rule.lower()), UNKNOWN)
