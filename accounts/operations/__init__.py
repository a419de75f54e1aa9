"""Every write of accounts."""

from accounts.operations.runs import UnableToAdvanceRun, advance_run, finish_run, start_run

__all__ = ["UnableToAdvanceRun", "advance_run", "finish_run", "start_run"]
