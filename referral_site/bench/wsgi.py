"""What granian serves to the bench: the site, and beside it a view that does nothing."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")
settings.ROOT_URLCONF = "referral_site.bench.urls"
application = get_wsgi_application()
