"""What the tests share: people, blueprints, and a worker that does all that is due."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.test import TransactionTestCase, override_settings

from experience import shipped as all_shipped
from runtime import gates, models, runs, shipped, tasks
from tests import councils
from tests.zygote import Zygote


@pytest.fixture(scope="session", autouse=True)
def _no_time_for_strangers() -> Iterator[None]:
    """Passwords hashed at once, which is half a second each otherwise, and static files looked
    for when they are asked for, which is a tenth of a second for each client otherwise."""
    hasher = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[hasher], WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_session_left_behind(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End the sessions that async tests have left, so that the database can be dropped."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


# What migrations have filled.
_KEPT = {"django_migrations", "django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def _quickly_emptied(_no_session_left_behind: None) -> Iterator[None]:
    """Empty the tables after a test with real transactions by DELETE, procrastinate's as well.

    Django truncates them, leaves procrastinate's alone, and makes all permissions anew, which
    took 0.3 s after each test, for a few rows.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _empty)
        yield


def _empty(_case: TransactionTestCase) -> None:
    # In one transaction, at whose end the foreign keys are looked at: in any order.
    _each_table("DELETE FROM {}", _tables())


def _tables() -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.table_names(cursor)) - _KEPT


def _each_table(statement: str, tables: Iterable[str]) -> None:
    statements = "; ".join(statement.format(f'"{table}"') for table in sorted(tables))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements)


def _has_rows(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')
        return bool(cursor.fetchone()[0])


@pytest.fixture
def shipped_blueprints(transactional_db: None) -> None:
    """What ships, in a database with real transactions; loaded once, then copied."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'shipped'")
        known = [row[0] for row in cursor.fetchall()]
    if known:
        _each_table("INSERT INTO public.{0} SELECT * FROM shipped.{0}", known)
        return
    empty = {table for table in _tables() if not _has_rows(table)}
    list(all_shipped.load())
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA shipped")
    _each_table("CREATE TABLE shipped.{0} AS TABLE public.{0}", filter(_has_rows, empty))


@pytest.fixture
def default(shipped_blueprints: None) -> models.BlueprintVersion:
    return models.Blueprint.objects.get(slug=shipped.DEFAULT).newest


@pytest.fixture
def alice(transactional_db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob(transactional_db: None) -> User:
    return User.objects.create_user("bob")


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
def council(alice: User) -> Callable[..., models.BlueprintVersion]:
    """Save a blueprint of alice's, in the notation of tests/councils.py."""

    def make(*edges: str, limits: dict[str, Any] | None = None, **more: Any):
        document = councils.document(*edges, **more)
        if limits:
            document["limits"] = limits
        blueprint = models.Blueprint.objects.create(name="A council", owner=alice)
        return blueprint.versions.create(number=1, document=document)

    return make


@pytest.fixture(scope="module")
def zygote(django_db_setup: None) -> Iterator[Zygote]:
    """Workers that die at a stated moment."""
    made = Zygote(connection.settings_dict["NAME"])
    yield made
    made.close()


@pytest.fixture
def drain() -> Callable[[], None]:
    """A worker that does all that is due, and returns."""
    return lambda: asyncio.run(tasks.work(wait=False))


@pytest.fixture
def adrain() -> Callable[[], Coroutine[Any, Any, None]]:
    """The same, for a test on an event loop."""
    return lambda: tasks.work(wait=False)


async def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The outcomes, results and exceptions, of calls in threads of their own."""

    def call(one: Callable[[], Any]) -> Any:
        try:
            return one()
        finally:
            connections.close_all()

    aside = sync_to_async(call, thread_sensitive=False)
    return await asyncio.gather(*map(aside, calls), return_exceptions=True)


def the_gate(run: models.Run) -> models.Gate:
    """The one gate that a run waits at."""
    run.refresh_from_db()
    assert run.status == "paused"
    (gate,) = gates.open_of(run)
    return gate


def kinds(run: models.Run, *, tokens: bool = False) -> list[str]:
    """The kinds of the run's events, in order."""
    found = run.events.order_by("seq").values_list("kind", flat=True)
    return [kind for kind in found if tokens or kind != "node.token"]


def nodes_started(run: models.Run) -> list[str]:
    found = run.events.filter(kind="node.started").order_by("seq")
    return list(found.values_list("data__node", flat=True))
