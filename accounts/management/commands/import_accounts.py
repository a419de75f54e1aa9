from datetime import datetime

from accounts.fact_files import FactFile
from accounts.management.importing import ImportCommand
from accounts.models import ImportRun
from accounts.operations import AccountFact, import_accounts
from accounts.retries import retried


class Command(ImportCommand):
    help = "Import customers from a file, all of it in one transaction: a referrer may stand anywhere in it."
    kind = ImportRun.Kind.ACCOUNTS
    columns = AccountFact._fields[1:]

    # Here, and not at the operation, which reads its facts once.
    @retried
    def record(self, facts: FactFile, *, run: ImportRun, now: datetime) -> None:
        last_line = facts.contents.last_line
        if run.lines_done < last_line:
            rows = self.in_view(facts.rows(), facts, lambda row: row.line)
            accounts = (AccountFact(row.line, *facts.required_cells(row)) for row in rows)
            import_accounts(facts=accounts, now=now, run=run, lines_done=last_line)
            run.lines_done = last_line
