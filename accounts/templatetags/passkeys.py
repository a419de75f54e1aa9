"""What the pages of passkeys hand to their script."""

import json

from django import template

register = template.Library()


@register.filter
def as_json(options: object) -> str:
    """Write the options of a passkey for an attribute of its form; templates escape them."""
    return json.dumps(options)
