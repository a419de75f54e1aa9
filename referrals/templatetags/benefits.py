"""The operator's words, with the terms' numbers in them."""

from django import template
from django.utils.translation import gettext

from referrals.models import BenefitCard, ProgrammeTerms
from referrals.placeholders import fill_in

register = template.Library()


@register.simple_tag
def words_of(card: BenefitCard, name: str, terms: ProgrammeTerms) -> str:
    """A text of a card in the reader's language, where there is a translation, with the numbers of these terms."""
    text = str(getattr(card, name))
    return fill_in(gettext(text) if text else "", terms, card.product)
