"""A client of the council socket, in the test's own process."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from experience.protocol import council
from tests import clients


class Client(clients.Client):
    protocol = council.TO_CLIENT


def connect(
    run_id: Any, user: Any = None, *, query: str = "", headers: dict[str, str] | None = None
) -> AbstractAsyncContextManager[Client]:
    """Open the socket of a run, as `user` by a fresh token if one is given."""
    return clients.connect(Client, f"/ws/council/{run_id}{query}", user, headers)
