"""The charts of Refer a Friend, drawn by the server."""

from collections.abc import Sequence

from django import template

from referrals.charts import Chart, chart
from referrals.queries.figures import Month

register = template.Library()


@register.simple_tag
def trend(months: Sequence[Month], name: str) -> Chart:
    """One of a month's figures, drawn over the months."""
    return chart([getattr(month, name) for month in months])
