"""The system checks: each complains of its fault by its id, and of nothing else."""

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from django.core.checks import run_checks
from django.db import connections

from councilos import checks
from runtime import models

ALL = {"databases": ["default"], "include_deployment_checks": True}


def ids() -> list[str]:
    found = run_checks(**ALL)
    return [message.id for message in found if str(message.id).startswith("councilos.")]


def test_a_sound_project_passes(default):
    assert ids() == []


def test_a_missing_secret_key_is_e001(settings, db):
    settings.SECRET_KEY_IS_EPHEMERAL = True

    assert ids() == ["councilos.E001"]


def test_a_missing_secret_key_stops_no_ordinary_command(settings):
    settings.SECRET_KEY_IS_EPHEMERAL = True

    assert [m.id for m in run_checks() if m.id == "councilos.E001"] == []


def test_a_database_that_does_not_answer_is_e002(monkeypatch, db):
    # A port that nothing listens on: 1 is reserved.
    parameters = {"host": "127.0.0.1", "port": 1, "dbname": "none"}
    monkeypatch.setattr(connections["default"], "get_connection_params", lambda: parameters)
    (message,) = checks.postgres(databases=["default"])

    assert message.id == "councilos.E002"
    assert "does not answer" in message.msg
    assert "DATABASE_URL" in str(message.hint)


def test_another_kind_of_database_is_e002(monkeypatch):
    monkeypatch.setattr(type(connections["default"]), "vendor", "sqlite")
    (message,) = checks.postgres(databases=["default"])

    assert message.id == "councilos.E002"
    assert "sqlite" in message.msg


def test_a_channel_layer_in_memory_is_e003(monkeypatch):
    monkeypatch.setitem(channel_layers.backends, "default", InMemoryChannelLayer())
    (message,) = [m for m in run_checks() if m.id == "councilos.E003"]

    assert "memory" in message.msg


def test_a_channel_layer_that_does_not_answer_is_e003(settings):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": "unix:///nowhere/valkey.sock"}]},
        }
    }
    (message,) = checks.channel_layer_answers(databases=["default"])

    assert message.id == "councilos.E003"
    assert "does not answer" in message.msg
    assert "REDIS_URL" in str(message.hint)


def test_every_fault_of_a_stored_blueprint_is_e004(db):
    broken = models.Blueprint.objects.create(name="Broken")
    broken.versions.create(number=1, document={"nodes": []})
    messages = checks.blueprints_compile(databases=["default"])

    assert {message.id for message in messages} == {"councilos.W004"}
    assert all("Broken" in message.msg for message in messages)


def test_a_blueprint_that_was_repaired_passes(default):
    broken = models.Blueprint.objects.create(name="Broken")
    broken.versions.create(number=1, document={"nodes": []})
    broken.versions.create(number=2, document=default.document)

    assert checks.blueprints_compile(databases=["default"]) == []


@pytest.mark.parametrize("check", [checks.postgres, checks.blueprints_compile])
def test_without_databases_none_is_asked(check):
    assert check(databases=None) == []
