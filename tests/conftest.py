"""What the tests share: people, blueprints, and a worker that does all that is due."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from runtime import models, runs, shipped, tasks


@pytest.fixture(scope="session", autouse=True)
def _no_session_left_behind(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End the sessions that async tests have left, so that the database can be dropped."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture
def shipped_blueprints(transactional_db: None) -> None:
    """The blueprints and agents that ship, in a database with real transactions."""
    list(shipped.load())


@pytest.fixture
def default(shipped_blueprints: None) -> models.BlueprintVersion:
    return models.Blueprint.objects.get(slug=shipped.DEFAULT).newest


@pytest.fixture
def alice(transactional_db: None) -> User:
    return User.objects.create_user("alice", password="a-long-password")


@pytest.fixture
def bob(transactional_db: None) -> User:
    return User.objects.create_user("bob", password="a-long-password")


@pytest.fixture
def new_run(default: models.BlueprintVersion, alice: User) -> Callable[..., models.Run]:
    """Create a run of the default council for alice."""

    def create(topic: str = "Should a small team write integration tests?", **more: Any):
        return runs.create(
            **{"topic": topic, "version": default, "owner": alice, "model": "demo:instant"}
            | more
        )

    return create


@pytest.fixture
def drain() -> Callable[[], None]:
    """A worker that does all that is due, and returns."""
    return lambda: asyncio.run(tasks.work(wait=False))


@pytest.fixture
def adrain() -> Callable[[], Coroutine[Any, Any, None]]:
    """The same, for a test on an event loop."""
    return lambda: tasks.work(wait=False)


def kinds(run: models.Run, *, tokens: bool = False) -> list[str]:
    """The kinds of the run's events, in order."""
    found = run.events.order_by("seq").values_list("kind", flat=True)
    return [kind for kind in found if tokens or kind != "node.token"]


def nodes_started(run: models.Run) -> list[str]:
    found = run.events.filter(kind="node.started").order_by("seq")
    return list(found.values_list("data__node", flat=True))
