"""Second factors of accounts, which allauth sets up with their holders."""

from allauth.mfa.models import Authenticator

from accounts.retries import retried


@retried
def remove_second_factors(*, user_id: int) -> bool:
    """Take away every second factor of an account, recovery codes too; return False where there is none."""
    return bool(Authenticator.objects.filter(user_id=user_id).delete()[0])
