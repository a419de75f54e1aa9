from django.db import migrations


class Migration(migrations.Migration):
    """A tenth of each page stays free, so that spend tracked after the window, which no index looks at, is written
    beside the row it replaces; and dead rows are cleared before they are a twentieth (docs/scaling.md)."""

    dependencies = [("referrals", "0007_rewards_to_settle")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE referrals_referral SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05)",
            "ALTER TABLE referrals_referral RESET (fillfactor, autovacuum_vacuum_scale_factor)",
        ),
    ]
