"""Every setting, read from the environment (and `.env`) in this one file.

A variable that is present but wrong stops the program at import with its name and what
was expected. What cannot be seen at import (a server that answers, a blueprint that
compiles) is a system check: see `councilos/checks.py`.
"""

import logging
import os
import re
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from environs import Env, EnvError, validate

from councilos import embedded

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)


def _dollars(stated: str) -> tuple[Decimal, Decimal]:
    """The two prices of `in/out`."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)/(\d{1,6}(?:\.\d+)?)", stated.strip())
    if not found:
        raise EnvError(f"MODEL_PRICES invalid: {stated!r} is not like 2.50/10 (in/out).")
    return Decimal(found[1]), Decimal(found[2])


# --- where things are kept -------------------------------------------------------------

# Data of the embedded PostgreSQL and Valkey, and what `manage.py up` makes for itself.
COUNCILOS_HOME = Path(env.str("COUNCILOS_HOME", str(BASE_DIR / ".councilos")))

DATABASE_URL = env.str("DATABASE_URL", "") or embedded.database_url(COUNCILOS_HOME)
REDIS_URL = env.str("REDIS_URL", "") or embedded.redis_url(COUNCILOS_HOME)

# --- security --------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", False)
# Without one, `manage.py up` keeps a random one in COUNCILOS_HOME; a key made up here
# would sign everybody out at each start and differ between processes.
SECRET_KEY = env.str("SECRET_KEY", "") or embedded.secret_key(COUNCILOS_HOME)
SECRET_KEY_IS_EPHEMERAL = not SECRET_KEY
if SECRET_KEY_IS_EPHEMERAL:
    SECRET_KEY = secrets.token_urlsafe(50)  # councilos.E001 refuses to serve with it
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
# Full origins (scheme, host and port) that may open sockets and post forms, beside the
# origin the page itself came from.
ALLOWED_ORIGINS: list[str] = env.list("ALLOWED_ORIGINS", [])
CSRF_TRUSTED_ORIGINS = ALLOWED_ORIGINS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", False)
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
# What a page may load and run: what is this server's own, and nothing that stands in the page
# itself. `connect-src 'self'` covers the sockets of the same origin.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- the application -------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
    "councilos",
    "runtime",
    "experience",
    # Of one's own: those that register kinds of nodes, for instance.
    *env.list("EXTRA_APPS", []),
]
MIDDLEWARE = [
    "experience.requests.identify",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "councilos.urls"
ASGI_APPLICATION = "councilos.asgi.application"
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
                "experience.dashboard.navigation.about",
            ],
        },
    },
]
STATIC_URL = "static/"
# Found where the packages have them; `collectstatic` is not needed, and only if this is set.
STATIC_ROOT = env.str("STATIC_ROOT", "") or None
WHITENOISE_USE_FINDERS = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
LOGIN_URL = "dashboard:sign-in"
LOGIN_REDIRECT_URL = "dashboard:start"
LOGOUT_REDIRECT_URL = "dashboard:sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- PostgreSQL ------------------------------------------------------------------------

DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL)}
DATABASES["default"].update(
    # Under ASGI a kept connection belongs to a thread that may never be used again; the
    # pool keeps connections instead and checks one before it hands it out.
    CONN_MAX_AGE=0,
    CONN_HEALTH_CHECKS=True,
)
# How soon a pool whose PostgreSQL was away looks again, at the latest. By itself it doubles
# its waits, and stays down for as long again as PostgreSQL was.
DATABASE_RECONNECT_SECONDS = 2.0
# 0: no pool, as behind PgBouncer.
if DATABASE_POOL_SIZE := env.int("DATABASE_POOL_SIZE", 20):
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        pool={
            "min_size": 1,
            "max_size": DATABASE_POOL_SIZE,
            "timeout": 5,  # seconds that somebody waits for a connection
            "reconnect_timeout": DATABASE_RECONNECT_SECONDS,
        },
    )
PROCRASTINATE_IMPORT_PATHS = ["runtime.tasks"]

# --- wake-ups: latency only, never correctness (design: "the channel layer is a doorbell")

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": env.str(
            "CHANNEL_LAYER_BACKEND", "channels_redis.pubsub.RedisPubSubChannelLayer"
        ),
        "CONFIG": {
            "hosts": [
                {
                    "address": REDIS_URL,
                    # Seconds; a ring is worth no longer wait.
                    "socket_connect_timeout": 2,
                    "socket_timeout": 5,
                }
            ]
        },
    }
}

# --- REST ------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "experience.access.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["experience.errors.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "experience.errors.answer",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "CouncilOS",
    "DESCRIPTION": "Councils of AI agents, as durable runs.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # From this server, not from another host.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Checkpoints hold plain data only; without this LangGraph would rebuild any pickled object.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

# --- models (LLMs) ---------------------------------------------------------------------

OPENAI_API_KEY = env.str("OPENAI_API_KEY", "")
# Any OpenAI-compatible server: vLLM, llama.cpp, Ollama, OpenRouter …
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", "")
OPENAI_DEFAULT_MODEL = env.str("OPENAI_DEFAULT_MODEL", "gpt-5.4")
ANTHROPIC_API_KEY = env.str("ANTHROPIC_API_KEY", "")
ANTHROPIC_BASE_URL = env.str("ANTHROPIC_BASE_URL", "")
ANTHROPIC_DEFAULT_MODEL = env.str("ANTHROPIC_DEFAULT_MODEL", "claude-sonnet-5")
# The model of a node that names none: `provider:model`. Empty: the default of the first
# provider with a key (OpenAI, then Anthropic), else the scripted `demo:council`.
DEFAULT_MODEL = env.str("DEFAULT_MODEL", "")
# The bare names that older clients send.
MODEL_ALIASES = {
    "claude-3-5-sonnet": "anthropic:claude-sonnet-5",
    "gpt-4o": "openai:gpt-4o",
    "local": "openai:local",
    **env.dict("MODEL_ALIASES", {}),
}
# US dollars per million tokens, in and out, of models that no public table knows.
MODEL_PRICES: dict[str, tuple[Decimal, Decimal]] = env.dict(
    "MODEL_PRICES", {}, subcast_values=_dollars
)
MODEL_TIMEOUT_SECONDS = env.float("MODEL_TIMEOUT_SECONDS", 120.0)
MODEL_MAX_TRIES = env.int("MODEL_MAX_TRIES", 3)
# First wait before a second try; each further one doubles it.
MODEL_RETRY_SECONDS = env.float("MODEL_RETRY_SECONDS", 0.5)
# How fast the scripted model speaks. 0: at once (tests, benchmarks).
DEMO_TOKENS_PER_SECOND = env.float("DEMO_TOKENS_PER_SECOND", 60.0)

# --- conversations ---------------------------------------------------------------------

# Who answers where the message names no agent and no surface that is known.
DEFAULT_AGENT = env.str("DEFAULT_AGENT", "guide.general")
# Per user, across all servers. Counted in Redis; while that is away nothing is refused.
MESSAGES_PER_MINUTE = env.int("MESSAGES_PER_MINUTE", 30)
SOCKETS_PER_USER = env.int("SOCKETS_PER_USER", 100)
# Per server process; beyond it a socket is refused before it is accepted.
MOST_SOCKETS = env.int("MOST_SOCKETS", 5_000)

# --- the worker ------------------------------------------------------------------------

WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", 200)
# A worker is given up for dead after this much silence; its runs go on elsewhere within
# 10 s (rule 8), so: silence + one look + taking up must stay well below that.
WORKER_HEARTBEAT_SECONDS = env.float("WORKER_HEARTBEAT_SECONDS", 1.0)
WORKER_STALLED_SECONDS = env.float("WORKER_STALLED_SECONDS", 5.0)
WORKER_RESCUE_SECONDS = env.float("WORKER_RESCUE_SECONDS", 1.0)
# On SIGTERM a run goes on to the end of its node, for at most this long.
WORKER_DRAIN_SECONDS = env.float("WORKER_DRAIN_SECONDS", 30.0)

# --- logs ------------------------------------------------------------------------------

LOG_LEVEL = env.log_level("LOG_LEVEL", logging.INFO)
LOG_FORMAT = env.str("LOG_FORMAT", "plain", validate=validate.OneOf(["plain", "json"]))
# Addresses whose requests leave no line in the access log.
ACCESS_LOG_SKIPS: list[str] = env.list("ACCESS_LOG_SKIPS", ["/healthz", "/readyz", "/metrics"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "runtime.logs.plain"}, "json": {"()": "runtime.logs.json"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    # Libraries quote requests, keys and SQL with its values in what they say at DEBUG.
    "root": {"handlers": ["console"], "level": max(LOG_LEVEL, logging.INFO)},
    "loggers": {
        **{ours: {"level": LOG_LEVEL} for ours in ("councilos", "experience", "runtime")},
        "procrastinate": {"level": "WARNING"},
        # Both tell the same in a traceback at each try; who uses them says it once.
        "channels_redis": {"level": "CRITICAL"},
        "psycopg.pool": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        # What was refused is in the access log.
        "django.request": {"level": "ERROR"},
        # Says of each try that failed what the last one says.
        "opentelemetry": {"level": "ERROR"},
        "daphne": {"level": "WARNING"},
        "twisted": {"level": "WARNING"},
    },
}

# --- metrics and traces ----------------------------------------------------------------

# Who states it as a bearer token may read `/metrics`. Empty: only who comes directly from the
# same machine.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
# Where a worker serves its own. 0: nowhere.
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", 0)
WORKER_METRICS_HOST = env.str("WORKER_METRICS_HOST", "127.0.0.1")
# The base URL of an OpenTelemetry collector (OTLP over HTTP). Empty: no traces.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")
OTEL_SERVICE_NAME = env.str("OTEL_SERVICE_NAME", "councilos")

env.seal()
