"""The ASGI application: HTTP to Django, WebSockets to the consumers."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "councilos.settings")
http = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after the set-up
from django.urls import path  # noqa: E402

from experience import consumers  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter(
            [path("ws/council/<str:run_id>", consumers.CouncilConsumer.as_asgi())]
        ),
    }
)
