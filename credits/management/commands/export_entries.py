"""manage.py export_entries --to FILE (DESIGN: Doors)."""

from accounts.export import ExportCommand
from credits.queries import export_entries


class Command(ExportCommand):
    help = "Write every movement on every coupon."
    export = staticmethod(export_entries)
