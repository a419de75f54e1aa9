from datetime import UTC, datetime

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Case, DateTimeField, DecimalField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Coalesce, Least

PAYOUT_OWED = Q(payout_granted__lt=F("payout_earned"), held=False)
BONUS_OWED = Q(bonus_granted__lt=F("bonus_earned"), held=False)
NEXT_DUE = Coalesce(
    Least(Case(When(PAYOUT_OWED, then=F("payout_due_at"))), Case(When(BONUS_OWED, then=F("bonus_due_at")))),
    Value(datetime(9999, 1, 1, tzinfo=UTC), output_field=DateTimeField()),
    output_field=DateTimeField(),
)
EARNED = ExpressionWrapper(
    F("payout_earned") + F("bonus_earned"), output_field=DecimalField(max_digits=20, decimal_places=2)
)


class Migration(migrations.Migration):
    """The indexes by which a referrer's friends are listed, a page at a time; each finds them by their referrer, too."""

    dependencies = [
        ("referrals", "0010_eligibility_decisions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="referral",
            index=models.Index(fields=["referrer", "registered_at", "id"], name="friends_in_order"),
        ),
        migrations.AlterField(
            model_name="referral",
            name="referrer",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="referrals",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="referral",
            index=models.Index(F("referrer"), NEXT_DUE, F("id"), name="friends_by_next_date"),
        ),
        migrations.AddIndex(
            model_name="referral",
            index=models.Index(F("referrer"), EARNED, F("id"), name="friends_by_what_they_earn"),
        ),
    ]
