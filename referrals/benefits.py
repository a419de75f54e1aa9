"""The cards that a new installation starts with; from then on the database has them, and the operator's words."""

from typing import NamedTuple

from django.utils.translation import gettext_noop


class Card(NamedTuple):
    """A card as the migration writes it; `product` is a code of the catalogue, or empty."""

    title: str
    text: str
    link: str
    link_label: str
    product: str = ""


CARDS = [
    Card(
        gettext_noop("Free trial"),
        gettext_noop(
            "{trial_individual} for individuals and {trial_enterprise} for enterprises, valid {trial_valid_days} days, "
            "for every new customer."
        ),
        "/free-trial/",
        gettext_noop("See what the trial pays for"),
    ),
    Card(
        gettext_noop("Simple Application Server"),
        gettext_noop("A small server with everything on it to publish a site, from {price} a month."),
        "/free-trial/#products",
        gettext_noop("See all products"),
        "simple-app-server",
    ),
    Card(
        gettext_noop("Entering the China market"),
        gettext_noop("Regions in mainland China, and people who know the registrations that a site needs there."),
        "/accounts/signup/",
        gettext_noop("Open an account"),
    ),
]
