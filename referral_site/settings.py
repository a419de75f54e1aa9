"""The settings, all of them, read from the environment (see README, "Settings")."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import certifi
import environ
from csp import constants as csp
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from referral_site.embedded import Servers

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

# What production may not go without, and what it may not have.
REQUIRED_IN_PRODUCTION = (
    "SECRET_KEY",
    "IDENTITY_DIGEST_KEY",
    "ALLOWED_HOSTS",
    "SITE_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "EMAIL_URL",
    "DEFAULT_FROM_EMAIL",
    "OPERATOR_NAME",
    "PAYMENT_GATEWAY",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
)
REFUSED_IN_PRODUCTION = ("REFERRAL_DEMO", "DEBUG")


def production_faults() -> list[str]:
    """What stops a start in production, one sentence a setting."""
    missing = [f"{name} is not set" for name in REQUIRED_IN_PRODUCTION if not os.environ.get(name, "").strip()]
    refused = [f"{name} must be off" for name in REFUSED_IN_PRODUCTION if env.bool(name, default=False)]
    insecure = ["SITE_URL must start with https://"] if os.environ.get("SITE_URL", "").startswith("http://") else []
    sandbox = ["PAYMENT_GATEWAY must be stripe"] if os.environ.get("PAYMENT_GATEWAY", "").strip() == "sandbox" else []
    return missing + refused + insecure + sandbox


def kept_secret(name: str) -> str:
    """The secret `name`: from the environment, else generated once into the data directory (development only)."""
    if value := os.environ.get(name, ""):
        return value
    path = DATA_DIR / "secrets" / name
    if not path.exists():
        write_once(path, secrets.token_urlsafe(64))
    return path.read_text()


def write_once(path: Path, text: str) -> None:
    """Write `text` to `path`, readable by its owner only; a file that another process wrote meanwhile stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # mode 0600
        draft.write(text)
        draft.flush()
        with suppress(FileExistsError):
            os.link(draft.name, path)


def whole_number(name: str, *, default: int, least: int, most: int) -> int:
    """The setting `name`, a whole number from `least` to `most`."""
    text = os.environ.get(name, str(default)).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise ImproperlyConfigured(f"{name} is {text!r}: it is a whole number from {least} to {most}.")
    return int(text)


ENVIRONMENT = env.str("REFERRAL_ENVIRONMENT", default="development")
PRODUCTION = ENVIRONMENT == "production"
if ENVIRONMENT not in ("development", "production"):
    raise ImproperlyConfigured(f"REFERRAL_ENVIRONMENT is {ENVIRONMENT!r}: it is either development or production.")
if PRODUCTION and (faults := production_faults()):
    raise ImproperlyConfigured(f"Production does not start: {'; '.join(faults)}.")

DEMO = env.bool("REFERRAL_DEMO", default=False)
DEMO_PASSWORD = "refer-a-friend" if DEMO else ""
DEBUG = env.bool("DEBUG", default=False)

DATA_DIR = Path(env.str("REFERRAL_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
HOST = env.str("HOST", default="127.0.0.1")
PORT = whole_number("PORT", default=8000, least=1, most=65_535)

SECRET_KEY = kept_secret("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
IDENTITY_DIGEST_KEY = kept_secret("IDENTITY_DIGEST_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", HOST])
SITE_URL = env.str("SITE_URL", default=f"http://{HOST}:{PORT}").rstrip("/")
OPERATOR_NAME = env.str("OPERATOR_NAME", default="Example Cloud")
CSRF_TRUSTED_ORIGINS = [SITE_URL]

# Applications

INSTALLED_APPS = [
    "referral_site",
    "referrals",
    "billing",
    "credits",
    "accounts",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "djmoney",
    "pgtrigger",
    "django_htmx",
    "csp",
    "lucide",
    "ninja",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.reader_time_zone",
    "accounts.middleware.reader_language",
    "accounts.limits.SayTooOften",
    "django_htmx.middleware.HtmxMiddleware",
    "referral_site.api_bodies.read_unmeasured",
    "referral_site.api.Methods",
]
ROOT_URLCONF = "referral_site.urls"
WSGI_APPLICATION = "referral_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Servers: those of the URLs, else the embedded ones

EMBEDDED = Servers(
    data_dir=DATA_DIR,
    postgres=not os.environ.get("DATABASE_URL"),
    valkey=not os.environ.get("REDIS_URL"),
    durable=env.bool("REFERRAL_DURABLE", default=True),
)
DATABASES = {
    "default": {
        **(EMBEDDED.database() if EMBEDDED.postgres else env.db_url("DATABASE_URL")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    },
}
REDIS_URL = EMBEDDED.redis_url() if EMBEDDED.valkey else env.str("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "referral_site.cache.ForgivingCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        # Seconds. A cache that is down or slow must not hold up a page.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 1, "retry": Retry(NoBackoff(), 1)},
    },
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# Celery. Tasks are hints: the database knows what is due, so a task that is lost costs time only.

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Seconds after which another worker gets the task of a worker that died with its machine.
    "visibility_timeout": 3600,
    # A broker that is down must not hold up the request that sends a task: no retry, and short waits.
    "max_retries": 0,
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
}
CELERY_TASK_PUBLISH_RETRY = False
# Workers and beat wait for the broker as long as it takes.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# Seconds after which a task that no worker took is dropped: workers that were down for long need not make up for every
# sweep. The sender sets the end by its own clock and the worker compares it with its own, so it is far more than clocks
# differ: after a minute, a worker whose clock is an hour ahead would drop everything.
CELERY_TASK_ANNOTATIONS = {"*": {"expires": 24 * 3600}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_CONSUMER = "referral_site.worker:Consumer"
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "referral_site.celery:ForwardScheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")

# Accounts

AUTH_USER_MODEL = "accounts.User"
# The login e-mail is unique by its lower case, which the check does not recognise.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "console:overview"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_SIGNUP_REDIRECT_URL = "console:coupons"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_MAX_ATTEMPTS = 3
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_PREVENT_ENUMERATION = True
# Times in a row, in how long, for whom: `ip` the visitor's address, `key` the e-mail address, `user` who is signed in.
# Behind one address there may be a whole company; an e-mail address is one person's.
ACCOUNT_RATE_LIMITS = {
    "signup": "20/m/ip",
    # Mails with a code. A newer sign-up wins at once, so that a second mail to an address must not have to wait.
    "confirm_email": "5/m/key,20/h/key,20/m/ip",
    "enter_code": "10/10m/key,30/m/ip",
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reset_password": "20/m/ip,5/m/key",
    "reset_password_from_key": "20/m/ip",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
    "submit_verification": "5/d/user,20/d/ip",
}
# So many proxies stand before the site: the visitor's address, by which limits count, is the one that the first of them
# adds to X-Forwarded-For. Without any, the header is a visitor's own word.
ALLAUTH_TRUSTED_PROXY_COUNT = whole_number("TRUSTED_PROXIES", default=1 if PRODUCTION else 0, least=0, most=100)
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "referrals.forms.SignUpForm",
    "confirm_email_verification_code": "accounts.forms.ConfirmCodeForm",
}
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# A change of the password or of a second factor is told by mail.
ACCOUNT_EMAIL_NOTIFICATIONS = True
MFA_FORMS = {"add_webauthn": "accounts.passkey_forms.AddPasskeyForm"}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if PRODUCTION else "http"

# Payment methods. Another address may stand for Stripe's, as that of localstripe does in the tests.

PAYMENT_GATEWAY = env.str("PAYMENT_GATEWAY", default="sandbox")
if PAYMENT_GATEWAY not in ("sandbox", "stripe"):
    raise ImproperlyConfigured(f"PAYMENT_GATEWAY is {PAYMENT_GATEWAY!r}: it is either sandbox or stripe.")
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="").rstrip("/")
if PAYMENT_GATEWAY == "stripe" and not (STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET):
    raise ImproperlyConfigured("PAYMENT_GATEWAY is stripe: it needs STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET.")

# Money, language and time

CURRENCIES = ("USD",)
DEFAULT_CURRENCY = "USD"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

# Mail: in development and demo, one file a mail

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="referrals@example.com")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_TIMEOUT = 10
# What a mail said, and to which address it went, is forgotten after so many days.
MAIL_KEPT_DAYS = whole_number("MAIL_KEPT_DAYS", default=30, least=0, most=3650)
if os.environ.get("EMAIL_URL"):
    vars().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(DATA_DIR / "mail")

# The API

API_CALLS_PER_MINUTE = whole_number("API_CALLS_PER_MINUTE", default=600, least=1, most=1_000_000)
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

# Webhooks out: to public https addresses only, unless others are allowed; certificates are checked against this file.

WEBHOOKS_ALLOW_PRIVATE = env.bool("WEBHOOKS_ALLOW_PRIVATE", default=False)
WEBHOOKS_CA_FILE = env.str("WEBHOOKS_CA_FILE", default=certifi.where())
# What a webhook said is forgotten after so many days.
WEBHOOKS_KEPT_DAYS = whole_number("WEBHOOKS_KEPT_DAYS", default=30, least=7, most=3650)

# Static files

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None  # in development, files are served from where they are
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}

# Security: in production behind a proxy that ends TLS and sets X-Forwarded-Proto

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PRODUCTION else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION

# Only what the site itself serves; no inline style or script anywhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.NONE],
        "script-src": [csp.SELF],
        "style-src": [csp.SELF],
        "img-src": [csp.SELF, "data:"],
        "font-src": [csp.SELF],
        "connect-src": [csp.SELF],
        "manifest-src": [csp.SELF],
        "form-action": [csp.SELF],
        "base-uri": [csp.NONE],
        "frame-ancestors": [csp.NONE],
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
}
