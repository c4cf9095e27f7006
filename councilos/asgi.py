"""The ASGI application: HTTP to Django, WebSockets to the consumers."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "councilos.settings")
http = get_asgi_application()
if settings.SECRET_KEY_IS_EPHEMERAL:
    raise ImproperlyConfigured(
        "There is no SECRET_KEY: set it, or start with `make run`, which keeps one. With a new "
        "one at each start everybody would be signed out. (councilos.E001)"
    )

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after the set-up
from django.urls import path, re_path  # noqa: E402

from councilos import closing  # noqa: E402
from experience import consumers, watch  # noqa: E402
from runtime import interpreter, traces  # noqa: E402

agent = consumers.AgentConsumer.as_asgi()  # type: ignore[no-untyped-call]
council = consumers.CouncilConsumer.as_asgi()  # type: ignore[no-untyped-call]
nowhere = consumers.Nowhere.as_asgi()  # type: ignore[no-untyped-call]
sockets = URLRouter(
    [
        re_path("^api/runtime/agent/?$", agent),
        path("ws/council/<str:run_id>", council),
        re_path("", nowhere),
    ]
)
application = ProtocolTypeRouter({"http": http, "websocket": closing.under_daphne(sockets)})
closing.before_daphne_stops(watch.close_all)
traces.prepare()
interpreter.settle()
