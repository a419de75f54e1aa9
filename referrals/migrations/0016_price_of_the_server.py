from django.db import migrations

BEFORE = "A small server with everything on it to publish a site, from $4.50 a month."
AFTER = "A small server with everything on it to publish a site, from {price} a month."


def follow_the_catalogue(apps, schema_editor):
    """The first card says what the catalogue says, unless staff have given it other words."""
    cards = apps.get_model("referrals", "BenefitCard").objects
    cards.filter(text=BEFORE, product__price__isnull=False).update(text=AFTER)


class Migration(migrations.Migration):
    dependencies = [
        ("referrals", "0015_abuse_reports"),
        ("billing", "0008_first_prices"),
    ]

    operations = [migrations.RunPython(follow_the_catalogue, migrations.RunPython.noop)]
