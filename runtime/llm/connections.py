"""The HTTP connections to providers: one pool for each event loop, shared by all calls.

A pool belongs to the loop it was opened in, and a process may see several loops (tests,
`async_to_sync`), which rules out the process-wide pools the provider libraries keep.
"""

import asyncio
from weakref import WeakKeyDictionary

import httpx2

_CONNECT_SECONDS = 10.0
# No limit of our own: how many calls run at once is the worker's concurrency to decide, and
# a pool that is full would only hide the waiting in here.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
# Silence after connecting is measured by `calls`, in pieces of text rather than in bytes.
_TIMEOUT = httpx2.Timeout(None, connect=_CONNECT_SECONDS)

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()


def pool() -> httpx2.AsyncClient:
    """The running loop's pool; opened at first use."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None or found.is_closed:
        # A redirect would carry the operator's key to wherever it points.
        found = httpx2.AsyncClient(limits=_LIMITS, timeout=_TIMEOUT, follow_redirects=False)
        _pools[loop] = found
    return found


def timeout() -> httpx2.Timeout:
    """The limit to hand to a provider's client, which would else set its own."""
    return _TIMEOUT


async def close() -> None:
    """Close the running loop's connections; the next call opens new ones.

    For the end of a worker and of a test.
    """
    found = _pools.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()
