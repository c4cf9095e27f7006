"""How much one user may do: messages per minute, sockets at once. Counted in Redis.

The counts hold across all processes. They protect a server from a client that runs wild and
nothing else: while Redis is away nothing is counted and nothing is refused.
"""

import functools
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import redis
from django.conf import settings
from limits import RateLimitItemPerMinute, storage, strategies

from runtime import errors

logger = logging.getLogger(__name__)

T = TypeVar("T")
# A server that is killed drops none of its sockets; they count for so much longer.
LEASE_SECONDS = 15
PATIENCE_SECONDS = 0.5
# After it has not answered it is not asked for so long: everybody would wait for it.
AWAY_SECONDS = 5.0
_NAMESPACE = "councilos"


class TooManyMessages(errors.Refusal):
    """That is too many messages in a minute. Wait a little, then send it again."""

    code = "too_many_messages"


class TooManySockets(errors.Refusal):
    """You have too many sockets open. Close some, or wait until those lost are forgotten."""

    code = "too_many_sockets"


def count_message(user: Any) -> None:
    """One more message of this user. Raises TooManyMessages with `retry_after`, in seconds."""
    item = RateLimitItemPerMinute(settings.MESSAGES_PER_MINUTE, namespace=_NAMESPACE)
    window = _unless_away(lambda: _count(item, str(user.pk)), None)
    if window is not None:
        raise TooManyMessages(retry_after=max(1, math.ceil(window - time.time())))


def _count(item: RateLimitItemPerMinute, user: str) -> float | None:
    """When there is room again, if there is none now."""
    limiter = _limiter()
    if limiter.hit(item, "messages", user):
        return None
    return limiter.get_window_stats(item, "messages", user).reset_time


def take_socket(user: Any, socket: str) -> None:
    """One more open socket of this user. Raises TooManySockets with `retry_after`."""
    if not _unless_away(lambda: _take(user.pk, socket), True):
        raise TooManySockets(retry_after=LEASE_SECONDS)


def _take(user_id: int, socket: str) -> bool:
    key, now = _key(user_id), time.time()
    with _client().pipeline() as commands:
        commands.zremrangebyscore(key, "-inf", now)
        commands.zadd(key, {socket: now + LEASE_SECONDS})
        commands.expire(key, LEASE_SECONDS)
        commands.zcard(key)
        count = commands.execute()[-1]
    if count <= settings.SOCKETS_PER_USER:
        return True
    _client().zrem(key, socket)
    return False


def keep_sockets(held: Iterable[tuple[Any, str]]) -> None:
    """These sockets are still open, each with its user. To be told within LEASE_SECONDS."""
    _unless_away(lambda: _keep(list(held)), None)


def _keep(held: list[tuple[Any, str]]) -> None:
    until = time.time() + LEASE_SECONDS
    with _client().pipeline() as commands:
        for user, socket in held:
            commands.zadd(_key(user.pk), {socket: until})
            commands.expire(_key(user.pk), LEASE_SECONDS)
        commands.execute()


def drop_socket(user: Any, socket: str) -> None:
    """This socket is closed."""
    _unless_away(lambda: _client().zrem(_key(user.pk), socket), None)


def _key(user_id: int) -> str:
    return f"{_NAMESPACE}:sockets:{user_id}"


_asked_again_at = 0.0


def _unless_away(call: Callable[[], T], otherwise: T) -> T:
    global _asked_again_at
    if time.monotonic() < _asked_again_at:
        return otherwise
    try:
        return call()
    except redis.RedisError as error:
        _asked_again_at = time.monotonic() + AWAY_SECONDS
        logger.warning("nothing is counted: %s", type(error).__name__)
        return otherwise


@functools.cache
def _pool() -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
    )


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis(connection_pool=_pool())


@functools.cache
def _limiter() -> strategies.MovingWindowRateLimiter:
    # The pool knows the address, whatever its scheme.
    kept = storage.RedisStorage("redis://", connection_pool=_pool())
    return strategies.MovingWindowRateLimiter(kept)
