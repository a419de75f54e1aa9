"""The link to share: the message that goes with it, where it may be sent, and its QR code."""

import io
from dataclasses import dataclass

import segno
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.asked import reader_id
from accounts.templatetags.wording import short_dollars
from referrals.models import ProgrammeTerms
from referrals.queries.console import ReferPage
from referrals.queries.standing import customer_with_standing, standing_of
from referrals.sharing import COPY, DEVICE, MESSAGE_MOST, QR, ShareLink, marked, share_links

QR_TYPES = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True)
class Sharing:
    """What the page needs to share a link."""

    message: str
    most: int
    subject: str
    links: list[ShareLink]
    copied: str
    sheet: str


def sharing(request: HttpRequest, page: ReferPage) -> Sharing | None:
    """Return the ways to share the reader's link with the message that they have written, or with one of ours."""
    address = page.standing.address
    if not (page.standing.may_refer and address):
        return None
    message = request.GET.get("message", "").strip()[:MESSAGE_MOST] or default_message(page.terms)
    subject = gettext("An invitation to %(operator)s") % {"operator": settings.OPERATOR_NAME}
    return Sharing(
        message=message,
        most=MESSAGE_MOST,
        subject=subject,
        links=share_links(link=address, subject=subject, message=message),
        copied=marked(address, COPY),
        sheet=marked(address, DEVICE),
    )


def default_message(terms: ProgrammeTerms) -> str:
    """A message in the reader's language, with the numbers in force."""
    return gettext(
        "I run my servers on %(operator)s. Sign up with my link and you start with %(welcome)s in credit and a free "
        "trial worth %(trial)s:"
    ) % {
        "operator": settings.OPERATOR_NAME,
        "welcome": short_dollars(terms.welcome_individual),
        "trial": short_dollars(terms.trial_individual),
    }


@require_safe
@never_cache
@login_required
def qr(request: HttpRequest, kind: str) -> HttpResponse:
    """The reader's link as a QR code: on the page, or to be kept as a file."""
    standing = standing_of(customer_with_standing(reader_id(request)), now=clock.now())
    if not (standing.may_refer and standing.address) or kind not in QR_TYPES:
        raise Http404
    picture = io.BytesIO()
    segno.make(marked(standing.address, QR), error="m", micro=False).save(picture, kind=kind, scale=8, border=4)
    response = HttpResponse(picture.getvalue(), content_type=QR_TYPES[kind])
    if "download" in request.GET:
        response.headers["Content-Disposition"] = f'attachment; filename="refer-a-friend.{kind}"'
    return response
