"""The WSGI application that granian serves."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from referral_site import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")

embedded.start(settings.EMBEDDED)
application = get_wsgi_application()
