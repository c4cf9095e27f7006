"""Shows metrics to Prometheus, and to nobody else.

With METRICS_TOKEN whoever states it may read them. Without one, only what runs on the same
machine and came here directly: a number of runs or refusals is nobody's business outside, and
an operator who has set nothing must not have published it.
"""

import contextlib
import hmac
import ipaddress
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from runtime import metrics

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
# What a proxy adds: the address it came from is then the proxy's, also if that is this machine.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
# A client that says nothing is cut off.
_PATIENCE_SECONDS = 10


class Headers(Protocol):
    """A request's headers, by names in any case."""

    def get(self, name: str, default: str, /) -> str: ...
    def __contains__(self, name: str, /) -> bool: ...


def refusal(peer: str, headers: Headers) -> tuple[HTTPStatus, str] | None:
    """Why somebody may not read the metrics, as a status and a sentence; None: they may.

    `peer` is the address of the other end of the line, empty when it has none.
    """
    if settings.METRICS_TOKEN:
        stated = headers.get("Authorization", "").encode("utf-8", "replace")
        if hmac.compare_digest(stated, f"Bearer {settings.METRICS_TOKEN}".encode()):
            return None
        return HTTPStatus.UNAUTHORIZED, "State METRICS_TOKEN as `Authorization: Bearer`."
    if _is_loopback(peer) and not any(name in headers for name in _FORWARDED):
        return None
    return HTTPStatus.FORBIDDEN, (
        "Without METRICS_TOKEN the metrics are shown on this machine only, not through a proxy."
    )


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def text(*registries: CollectorRegistry) -> bytes:
    """All the metrics of the registries, in Prometheus's text format."""
    return b"".join(generate_latest(registry) for registry in registries)


# --- the worker's -----------------------------------------------------------------------


@contextlib.contextmanager
def serve() -> Iterator[int]:
    """Serve the runtime's metrics at WORKER_METRICS_PORT while the caller is in here.

    Gives the port, 0 when none is served. From a thread of its own, so that a worker whose
    event loop is blocked can still be seen. A port that cannot be had is logged: a worker is
    worth more than its numbers.
    """
    if not settings.WORKER_METRICS_PORT:
        yield 0
        return
    where = (settings.WORKER_METRICS_HOST, settings.WORKER_METRICS_PORT)
    try:
        server = _Server(where)
    except OSError as error:
        logger.error("no metrics of this worker at %s:%s: %s", *where, error.strerror)
        yield 0
        return
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        super().__init__(where, _Handler)

    def server_bind(self) -> None:
        # Not the parent's, which asks DNS for the machine's name.
        socketserver.TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_SECONDS

    def do_GET(self) -> None:
        no = refusal(self.client_address[0], self.headers)
        if self.path.split("?")[0] != "/metrics":
            no = HTTPStatus.NOT_FOUND, "The metrics are at /metrics."
        if no is None:
            self._answer(HTTPStatus.OK, CONTENT_TYPE, text(metrics.registry))
        else:
            self._answer(no[0], "text/plain; charset=utf-8", f"{no[1]}\n".encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: somebody comes every few seconds."""
