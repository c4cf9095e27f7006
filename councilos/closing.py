"""What daphne lacks for closing sockets; with any other server this does nothing.

autobahn, beneath it, refuses to close with 1012 and 1013, which ask a client to come back;
and on SIGTERM daphne cuts the lines (1006) without a word.
"""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Application = Callable[[Any, Any, Any], Awaitable[None]]
COME_BACK = (1012, 1013)


def under_daphne(application: Application) -> Application:
    """The application, able to close with 1012 and 1013."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        await application(scope, receive, functools.partial(_send, _protocol(send), send))

    return wrapped


def _protocol(send: Any) -> Any | None:
    """daphne's connection behind a `send`: the argument that it is bound to."""
    found = send.args[0] if isinstance(send, functools.partial) and send.args else None
    return found if hasattr(found, "sendCloseFrame") else None


async def _send(protocol: Any | None, send: Any, message: dict[str, Any]) -> None:
    code = message.get("code") if message["type"] == "websocket.close" else None
    if protocol is not None and code in COME_BACK:
        protocol.sendCloseFrame(code=code)
    else:
        await send(message)


def before_daphne_stops(say_goodbye: Callable[[], Awaitable[None]]) -> None:
    """Have `say_goodbye` awaited after SIGTERM, before the lines are cut."""
    if "daphne.cli" not in sys.modules:
        return
    from twisted.internet import defer
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    def begin() -> Any:
        return defer.Deferred.fromFuture(asyncio.ensure_future(say_goodbye()))

    reactor: AsyncioSelectorReactor = sys.modules["twisted.internet.reactor"]  # type: ignore[assignment]
    reactor.addSystemEventTrigger("before", "shutdown", begin)
