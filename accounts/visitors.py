"""By which address a visitor comes: what limits and the keys of the API count by."""

from allauth import app_settings
from allauth.core.internal.httpkit import clean_client_ip, get_client_ip
from django.http import HttpRequest


def visitor_address(request: HttpRequest) -> str | None:
    """Return the address that the outermost trusted proxy has seen, as allauth has it.

    A request that has passed fewer proxies than are trusted (one from within, a probe) has fewer addresses in its
    header: then the one nearest to the visitor counts, where allauth gives up.
    """
    passed = [address for address in request.headers.get("x-forwarded-for", "").split(",") if address.strip()]
    if 0 < len(passed) < app_settings.TRUSTED_PROXY_COUNT:
        address: str | None = clean_client_ip(passed[0])
        return address
    found: str | None = get_client_ip(request)
    return found
