"""The cards of *Share these benefits*, which staff set in the admin."""

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.retries import retried
from billing.models import Product
from referrals.models import BenefitCard
from referrals.placeholders import unknown_in

WORDS = [field.name for field in BenefitCard._meta.fields if not field.primary_key]


class UnableToSetCard(Exception):
    """The card stays as it is; `code` is `placeholder` (`names` are no numbers of the terms) or `gone`."""

    def __init__(self, code: str, names: str = "") -> None:
        super().__init__(_("The terms have no number of this name: %(names)s.") % {"names": names} if names else code)
        self.code = code


def require_known_placeholders(*, text: str, product: Product | None) -> None:
    """Raise UnableToSetCard("placeholder") where a text names a number that neither the terms nor the product has."""
    if unknown := unknown_in(text, product):
        raise UnableToSetCard("placeholder", ", ".join(unknown))


@retried
@transaction.atomic
def add_card(*, card: BenefitCard) -> BenefitCard:
    """Add a card. Raises UnableToSetCard."""
    _require_sense(card)
    card.save(force_insert=True)
    return card


@retried
@transaction.atomic
def change_card(*, card: BenefitCard) -> None:
    """Give a card all the words of `card`, its product, place and whether it is shown. Raises UnableToSetCard."""
    _require_sense(card)
    if not BenefitCard.objects.filter(pk=card.pk).update(**{name: getattr(card, name) for name in WORDS}):
        raise UnableToSetCard("gone")


def _require_sense(card: BenefitCard) -> None:
    for words in (card.title, card.text, card.link_label):
        require_known_placeholders(text=words, product=card.product)
