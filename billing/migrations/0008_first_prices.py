from decimal import Decimal

from django.db import migrations

from billing.prices import OFFERS, PRICES


def load(apps, schema_editor):
    product = apps.get_model("billing", "Product")
    for code, (price, unit) in PRICES.items():
        product.objects.filter(code=code).update(price=Decimal(price), currency="USD", unit=unit)
    product.objects.bulk_create(
        product(
            code=code,
            name=name,
            family="Special offers",
            earns_credit=False,
            accepts_credit=False,
            accepts_trial=False,
            price=Decimal(price),
            currency="USD",
            regular_price=Decimal(regular),
            unit=unit,
        )
        for code, name, price, regular, unit in OFFERS
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_orders")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
