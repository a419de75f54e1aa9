"""What granian serves to the bench: the site, and beside it a view that does nothing."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")


class Handler(WSGIHandler):
    """Django's own, by the bench's addresses. Whoever imports this module keeps the site's."""

    def get_response(self, request: HttpRequest) -> Any:
        request.urlconf = "referral_site.bench.urls"
        return super().get_response(request)


django.setup()
application = Handler()
