from datetime import UTC, datetime

from django.db import migrations


def load(apps, schema_editor):
    apps.get_model("referrals", "ProgrammeTerms").objects.create(starts_at=datetime(1970, 1, 1, tzinfo=UTC))


class Migration(migrations.Migration):
    dependencies = [("referrals", "0001_initial")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
