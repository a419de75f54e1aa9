"""The API of version 1: who answers below /api/v1/, and how it says what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema
from ninja.renderers import BaseRenderer

from accounts.api_door import CHALLENGE, Problem, StrictParser
from billing.api import router as spend
from billing.redemption_api import router as redemptions
from credits.api import router as credit
from credits.list_api import router as coupon_lists
from referral_site.api_bodies import read_to_the_end
from referral_site.api_description import described
from referrals.abuse_api import router as abuse
from referrals.account_api import router as accounts
from referrals.list_api import router as referral_lists

DESCRIPTION = """
## How to call

Every call has a key, made by the operator's staff for some scopes, as `Authorization: Bearer KEY`. What is left of the
calls of this minute is said by `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds); after too many
`Retry-After` says how long to wait.

Amounts are decimals in strings, times are RFC 3339 with an offset. A body is JSON of at most 8 MB. Errors are problem
details (RFC 9457) with a stable `code`, and nothing has changed then. A call that was answered may be sent again: the
same content under the same id is known, and other content is a conflict.
"""


PROBLEM_TYPE = "application/problem+json"
ADDRESS = "/api/"


class Renderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data, default=str)


class Api(NinjaAPI):
    """Adds to every answer how many calls are left, and to the description what every call may answer."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema: OpenAPISchema = super().get_openapi_schema(**options)
        described(schema)
        return schema

    def create_response(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().create_response(request, *args, **kwargs)
        for name, value in getattr(request, "api_limits", {}).items():
            response.headers[name] = value
        return response


api = Api(
    title="Refer a Friend",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    parser=StrictParser(),
    renderer=Renderer(),
    docs=Swagger(settings={"deepLinking": False, "defaultModelsExpandDepth": -1}),
)
api.add_router("", spend)
api.add_router("", redemptions)
api.add_router("", credit)
api.add_router("", coupon_lists)
api.add_router("", referral_lists)
api.add_router("", accounts)
api.add_router("", abuse)


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return a problem as application/problem+json."""
    read_to_the_end(request)
    content = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        content["errors"] = problem.errors
    response = api.create_response(request, content, status=problem.status)
    response.headers["Content-Type"] = PROBLEM_TYPE
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


api.exception_handler(Problem)(answer)


def _place(at: Sequence[str | int]) -> list[str | int]:
    """Where in the request. A body has a name in our code, which the client has never sent."""
    return [*at[:1], *at[2:]] if at[0] == "body" else list(at)


@api.exception_handler(ValidationError)
def answer_invalid(request: HttpRequest, fault: ValidationError) -> HttpResponse:
    """Name what is at fault, without what it held: that may be a secret, or a person."""
    errors = [{"at": _place(error["loc"]), "message": error["msg"]} for error in fault.errors[:100]]
    return answer(
        request, Problem(422, "invalid", "The request does not have the form that is documented.", errors=errors)
    )


@api.exception_handler(AuthenticationError)
def answer_unknown(request: HttpRequest, fault: AuthenticationError) -> HttpResponse:
    return answer(request, Problem(401, "key", "This needs a key, as Authorization: Bearer.", headers=CHALLENGE))


@api.exception_handler(HttpError)
def answer_refused(request: HttpRequest, fault: HttpError) -> HttpResponse:
    """What the parser found wrong with a body comes wrapped."""
    cause = fault.__cause__
    return answer(request, cause if isinstance(cause, Problem) else Problem(fault.status_code, "request", str(fault)))


@api.exception_handler(Http404)
def answer_missing(request: HttpRequest, fault: Http404) -> HttpResponse:
    return answer(request, Problem(404, "unknown", "There is no such thing."))


@api.exception_handler(RequestDataTooBig)
def answer_too_large(request: HttpRequest, fault: RequestDataTooBig) -> HttpResponse:
    return answer(request, Problem(413, "size", "The body is larger than 8 MB."))


@csrf_exempt
def unknown_call(request: HttpRequest) -> HttpResponse:
    """Whatever else is asked below the API's address."""
    return answer(request, Problem(404, "call", "There is no such call."))


class Methods:
    """Answers HEAD as GET without its body, says by OPTIONS what a call is made by (RFC 9110), and says as a problem
    that it is not made by another method: ninja says it in plain text, and knows neither of the two."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_head = request.method == "HEAD" and request.path.startswith(ADDRESS)
        if not is_head:
            return self._answer(request)
        request.method = "GET"
        response = self._answer(request)
        request.method = "HEAD"
        response.headers["Content-Length"] = str(len(response.content))
        response.content = b""
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        match = request.resolver_match
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED or match is None or match.namespace != "api":
            return response
        allowed = _allowed(response)
        if request.method == "OPTIONS":
            read_to_the_end(request)
            return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
        return answer(request, Problem(405, "method", f"The call is made by {allowed}.", headers={"Allow": allowed}))


def _allowed(refusal: HttpResponse) -> str:
    methods = {"OPTIONS", *refusal.headers["Allow"].split(", ")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
