"""The addresses that an account has had, as keyed digests: whoever comes back with one is an existing customer (TERMS:
When things change)."""

from collections.abc import Sequence
from datetime import datetime

from accounts.models import KnownIdentifier, User
from accounts.operations.identifiers import keyed_digest, remember_identifier


def address_digest(email: str) -> str:
    """Return the keyed digest of an e-mail address, the same however it is cased."""
    return keyed_digest(f"email|{email.strip().lower()}")


def remember_address(*, customer_id: int, email: str, now: datetime) -> None:
    """Keep the digest of an address that an account gives up, in the caller's transaction; once is enough."""
    kind = KnownIdentifier.Kind.EMAIL
    remember_identifier(kind=kind, digest=address_digest(email), customer_id=customer_id, now=now)


def known_by_address(*, user_ids: Sequence[int]) -> list[int]:
    """Return which of these accounts have an address that another account had before. Two statements."""
    digests = {
        pk: address_digest(email) for pk, email in User.objects.filter(pk__in=user_ids).values_list("pk", "email")
    }
    known = KnownIdentifier.objects.filter(kind=KnownIdentifier.Kind.EMAIL, digest__in=digests.values())
    owners: dict[str, set[int | None]] = {}
    for digest, customer_id in known.values_list("digest", "customer_id"):
        owners.setdefault(digest, set()).add(customer_id)
    return [pk for pk, digest in digests.items() if owners.get(digest, set()) - {pk}]
