from datetime import datetime

from accounts.fact_files import FactFile, FactRow
from accounts.management.importing import ChunkedImportCommand
from accounts.models import ImportRun
from credits.operations import RedemptionFact, record_redemptions


class Command(ChunkedImportCommand):
    help = "Import what customers paid with their credit, from a file of the billing system."
    kind = ImportRun.Kind.REDEMPTIONS
    columns = RedemptionFact._fields[1:]

    def record_chunk(self, facts: FactFile, chunk: list[FactRow], *, run: ImportRun, now: datetime) -> None:
        redemptions = [RedemptionFact(row.line, *facts.required_cells(row)) for row in chunk]
        record_redemptions(source="billing", facts=redemptions, now=now, run=run, lines_done=chunk[-1].line)
