"""What an import has to tell."""

from collections.abc import Iterator

from django.db.models import F

from accounts.facts import Refusal
from accounts.models import ImportRun


def refusals_of(run: ImportRun) -> Iterator[Refusal]:
    """Yield what the run refused, in order of lines, then what waited since an earlier file. One statement."""
    refused = run.refusals.order_by(F("line").asc(nulls_last=True), "pk")
    for line, code, message, fact in refused.values_list("line", "code", "message", "fact").iterator():
        yield Refusal(line, code, message, fact)
