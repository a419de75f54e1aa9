from datetime import datetime

from accounts.fact_files import FactFile, FactRow
from accounts.management.importing import ChunkedImportCommand
from accounts.models import ImportRun
from billing.operations import SpendFact, record_spend


class Command(ChunkedImportCommand):
    help = "Import payments, refunds, chargebacks and reversed chargebacks from a file of the billing system."
    kind = ImportRun.Kind.SPEND
    columns = SpendFact._fields[1:]

    def record_chunk(self, facts: FactFile, chunk: list[FactRow], *, run: ImportRun, now: datetime) -> None:
        spend = [SpendFact(row.line, *facts.required_cells(row)) for row in chunk]
        record_spend(source="billing", facts=spend, now=now, run=run, lines_done=chunk[-1].line)
