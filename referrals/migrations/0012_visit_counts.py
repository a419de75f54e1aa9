import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("referrals", "0011_friends_in_order")]

    operations = [
        migrations.CreateModel(
            name="VisitCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "link",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="visits",
                        to="referrals.referrallink",
                    ),
                ),
                ("day", models.DateField()),
                ("channel", models.CharField(blank=True, db_collation="C", max_length=20)),
                ("count", models.PositiveIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("link", "day", "channel"), name="visits_are_counted_per_link_day_and_channel"
                    )
                ],
            },
        ),
    ]
