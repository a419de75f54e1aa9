"""manage.py export_coupons --to FILE (DESIGN: Doors)."""

from accounts.export import ExportCommand
from credits.queries import export_coupons


class Command(ExportCommand):
    help = "Write every coupon as it stands."
    export = staticmethod(export_coupons)
