"""How often what is due is looked for, as the pages promise it; `referral_site.celery` keeps it."""

from datetime import timedelta

SWEEP = timedelta(minutes=10)
"""At most so long after its due time a reward is granted (DESIGN: Jobs)."""
