"""manage.py export_referrals --to FILE (DESIGN: Doors)."""

from accounts.export import ExportCommand
from referrals.queries.exports import export_referrals


class Command(ExportCommand):
    help = "Write every referral as it stands."
    export = staticmethod(export_referrals)
