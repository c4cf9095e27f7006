"""Whatever is sent, the answer is one that the OpenAPI document promises, and never a 500."""

import asyncio
from uuid import uuid4

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from councilos.asgi import application
from experience import access, conversations
from experience import models as credentials
from experience.api import streams
from runtime import library, models, runs, shipped, tasks

# The requests are served by other threads, which see what `known` has committed.
pytestmark = pytest.mark.django_db
EXAMPLES = 30
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.unsupported_method,
    openapi.negative_data_rejection,
]
# Its answer to a document with faults is 200: their list.
TAKES_ANYTHING = "POST /api/councils/check"
# An empty value there counts as none.
HAS_NO_BODY = "GET "

schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
schema.app = application
# Ours ignore what they do not know in a query string.
schema.config.generation.allow_extra_parameters = False
OPERATIONS = {result.ok().label: result.ok() for result in schema.get_all_operations()}


@pytest.fixture(scope="module")
def known(django_db_setup, django_db_blocker):
    """What there is of a user, by the name that a path calls its id."""
    with (
        django_db_blocker.unblock(),
        override_settings(MESSAGES_PER_MINUTE=100_000),
        pytest.MonkeyPatch.context() as patched,
    ):
        # A stream ends soon, also where nothing happens.
        patched.setattr(streams, "MOST_BYTES", 1000)
        patched.setattr(streams, "SILENT_SECONDS", 0.005)
        call_command("load_shipped", verbosity=0)
        yield _known(User.objects.create_user("explorer"))
        # Numbers go on: the worker keeps compiled graphs by a version's number.
        call_command("flush", verbosity=0, interactive=False, reset_sequences=False)


def _known(user):
    default = models.Blueprint.objects.get(slug=shipped.DEFAULT).newest
    copy = library.save({**default.document, "id": str(uuid4())}, owner=user)
    begun = {"topic": "x", "version": copy, "owner": user, "model": "demo:instant"}
    worked_on = [runs.create(**begun), runs.create(**begun, god_mode=True)]
    answered = conversations.post(user, text="x").message.conversation_id
    asyncio.run(tasks.work(wait=False))
    waiting = [*worked_on, runs.create(**begun)]
    asked = conversations.post(user, text="x").message.conversation_id
    secret = access.create_token(user, "explorer")
    access.create_token(user, "spare")
    access.issue_ticket(user)
    return {
        "headers": {"Authorization": f"Bearer {secret}"},
        "run_id": [str(run.pk) for run in waiting],
        "blueprint_id": [str(copy.blueprint_id)],
        "number": [1],
        "conversation_id": [str(answered), str(asked)],
        "token_id": [credentials.Token.objects.get(name="spare").pk],
        "ticket_id": [credentials.Ticket.objects.get().pk],
    }


# What deletes comes last.
@pytest.mark.parametrize("label", sorted(OPERATIONS, key=lambda name: "DELETE" in name))
def test_every_answer_is_one_that_the_document_promises(label, known):
    operation = OPERATIONS[label]
    takes_it = label == TAKES_ANYTHING or label.startswith(HAS_NO_BODY)
    excluded = [openapi.negative_data_rejection] if takes_it else []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(
        case=st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        ),
        which=st.one_of(st.none(), st.integers(0, 5)),
    )
    def explore(case, which):
        names = known.keys() & (case.path_parameters or {}).keys() if which is not None else ()
        for name in names:
            case.path_parameters[name] = known[name][which % len(known[name])]
        case.call_and_validate(
            headers=known["headers"],
            checks=CHECKS,
            excluded_checks=excluded,
        )

    explore()


def test_every_route_is_explored():
    assert len(OPERATIONS) >= 37
