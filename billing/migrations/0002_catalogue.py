from django.db import migrations

from billing.catalogue import PRODUCTS


def load(apps, schema_editor):
    product = apps.get_model("billing", "Product")
    product.objects.bulk_create(
        product(code=code, name=name, family=family, earns_credit=earns, accepts_credit=credit, accepts_trial=trial)
        for code, name, family, (earns, credit, trial) in PRODUCTS
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
