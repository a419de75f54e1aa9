"""What the desk's first page says of work that failed."""

from django import template

from accounts.parked_queries import parked_rows

register = template.Library()


@register.simple_tag
def parked_count() -> int:
    """How many rows are parked."""
    return parked_rows()
