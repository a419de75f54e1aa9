from django.db import migrations

from referrals.benefits import CARDS


def load(apps, schema_editor):
    product = apps.get_model("billing", "Product").objects
    apps.get_model("referrals", "BenefitCard").objects.bulk_create(
        apps.get_model("referrals", "BenefitCard")(
            title=card.title,
            text=card.text,
            link=card.link,
            link_label=card.link_label,
            product=product.filter(code=card.product).first(),
            position=position,
        )
        for position, card in enumerate(CARDS, start=1)
    )


class Migration(migrations.Migration):
    dependencies = [
        ("referrals", "0012_visits_and_benefit_cards"),
        ("billing", "0002_catalogue"),
    ]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
