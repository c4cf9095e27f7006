"""What a finished step was asked, for those who look back: as it was sent, and theirs alone."""

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from runtime import models, nodes, runs, tasks
from runtime.execution import inputs
from tests import provider
from tests.speech import Answer
from tests.test_members_run import Speaker

REVISE = '{"feedback": "Name the costs.", "score": 6, "verdict": "revise"}'
APPROVE = '{"feedback": "Fine.", "score": 9, "verdict": "approve"}'


@pytest.fixture
def openai(settings):
    """Aim `openai:` models at a local provider."""

    def aim(server: provider.Server) -> None:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        settings.MODEL_RETRY_SECONDS = 0.01

    return aim


def completed(run: models.Run) -> list[models.Event]:
    return list(run.events.filter(kind="node.completed").order_by("seq"))


def asked(run: models.Run) -> dict[int, inputs.Input | None]:
    return {event.seq: inputs.of(run, event.seq) for event in completed(run)}


def sent(server: provider.Server) -> list[list[tuple[str, str]]]:
    """What the provider was told, of each request, the roles as LangChain calls them."""
    roles = {"system": "system", "developer": "system", "user": "human"}
    return [
        [(roles[each["role"]], each["content"]) for each in request.body["messages"]]
        for request in server.requests
    ]


async def test_each_step_of_a_loop_shows_what_the_provider_was_sent(openai, new_run):
    async with provider.serve() as server:
        openai(server)
        server.then(*map(Answer, ("One.", REVISE, "Two.", APPROVE, "Polished.")))
        run = await sync_to_async(new_run)("Why test?", model="openai:gpt-4o")
        await tasks.work(wait=False)
    found = await sync_to_async(asked)(run)

    assert len(found) == 5
    assert [list(map(tuple, each.messages)) for each in found.values()] == sent(server)
    assert all(each.is_as_sent for each in found.values())
    assert "Name the costs." in list(found.values())[2].messages[1].text


async def test_members_that_saw_no_names_show_what_they_saw(openai, shipped_blueprints, alice):
    async with provider.serve(Speaker()) as server:
        openai(server)
        blueprint = await models.Blueprint.objects.aget(slug="three-opinions")
        version = await sync_to_async(lambda: blueprint.newest)()
        run = await sync_to_async(runs.create)(
            topic="Tabs or spaces?", version=version, owner=alice, model="openai:gpt-4o"
        )
        await tasks.work(wait=False)
    found = await sync_to_async(asked)(run)

    assert len(found) == 7
    shown = [list(map(tuple, each.messages)) for each in found.values()]
    assert sorted(shown) == sorted(sent(server))
    assert all(each.is_as_sent for each in found.values())


def test_a_run_that_was_told_of_another_shows_it_until_that_is_deleted(new_run, drain):
    first = new_run("What is a plan?")
    drain()
    run = new_run("And a good one?", context=[first.pk])
    drain()
    seq = completed(run)[0].seq
    before = inputs.of(run, seq)
    first.delete()
    after = inputs.of(run, seq)

    assert before
    assert "What is a plan?" in before.messages[1].text
    assert before.is_as_sent
    assert after
    assert "What is a plan?" not in after.messages[1].text
    assert not after.is_as_sent


@pytest.mark.parametrize("how", ["its kind does not tell", "its state is gone"])
def test_what_cannot_be_told_is_not_invented(new_run, drain, monkeypatch, how):
    run = new_run()
    drain()
    if how == "its state is gone":
        models.CheckpointWrite.objects.all().delete()
    else:
        told = nodes.KINDS["draft"]
        untold = nodes.Kind("draft", told.run, settings=told.settings)
        monkeypatch.setitem(nodes.KINDS, "draft", untold)

    assert inputs.of(run, completed(run)[0].seq) is None


def test_a_step_without_a_model_was_asked_nothing(shipped_blueprints, alice, drain):
    version = models.Blueprint.objects.get(slug="vote").newest
    run = runs.create(topic="Yes?", version=version, owner=alice, model="demo:instant")
    drain()
    (vote,) = run.events.filter(kind="node.completed", data__kind="vote")

    assert inputs.of(run, vote.seq) is None
    assert vote.data["asked"] == ""


# --- on the page -----------------------------------------------------------------------


def shown(client: Client, user: User, run: models.Run, which: int | str) -> str:
    client.force_login(user)
    answer = client.get(f"/runs/{run.pk}/steps/{which}/input/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_whoever_sees_the_run_sees_what_it_was_asked_as_text(
    client, new_run, drain, alice, bob, council
):
    asks = {"gateAfter": {"answerers": ["owner", "user:bob"]}}
    run = new_run("<b>Why?</b>", version=council("d > w", d=asks))
    drain()
    seq = completed(run)[0].seq

    for user in (alice, bob, User.objects.create_superuser("chief")):
        assert "&lt;b&gt;Why?&lt;/b&gt;" in shown(client, user, run, seq)
        assert "You are d." in shown(client, user, run, seq)
    client.force_login(User.objects.create_user("carol"))
    assert client.get(f"/runs/{run.pk}/steps/{seq}/input/").status_code == 404


def test_of_a_talk_not_even_an_administrator_sees_it(client, new_run, drain, alice):
    first = new_run("A secret.")
    drain()
    run = new_run("More of it.", context=[first.pk])
    drain()
    seq = completed(run)[0].seq
    chief = User.objects.create_superuser("chief")

    assert "A secret." in shown(client, alice, run, seq)
    assert "only its owner sees" in shown(client, chief, run, seq)
    assert "A secret." not in shown(client, chief, run, seq)


def test_of_a_reused_step_it_is_what_the_other_run_asked(client, new_run, drain, alice):
    parent = new_run("Of the parent?")
    drain()
    child = runs.fork(parent, owner=alice, after=completed(parent)[1].seq)
    drain()
    number = next(
        n
        for n, event in enumerate(parent.events.order_by("seq"))
        if event.kind == "node.completed"
    )

    assert "Of the parent?" in shown(client, alice, child, f"r{number}")
    assert "cannot be put together" not in shown(client, alice, child, f"r{number}")


def test_a_step_that_there_is_not_has_no_input(client, new_run, drain, alice):
    run = new_run()
    drain()
    client.force_login(alice)

    for which in ("0", "1", "r0", "99999"):
        assert client.get(f"/runs/{run.pk}/steps/{which}/input/").status_code == 404


async def test_a_member_that_failed_has_no_input(client, openai, shipped_blueprints, alice):
    speaker = Speaker()
    speaker.bad["gone"] = Answer(status=404)
    async with provider.serve(speaker) as server:
        openai(server)
        blueprint = await models.Blueprint.objects.aget(slug="three-opinions")
        document = (await sync_to_async(lambda: blueprint.newest)()).document
        document["nodes"][0]["model"] = "openai:gone"
        own = await models.Blueprint.objects.acreate(name="mine", owner=alice)
        version = await own.versions.acreate(number=1, document=document)
        run = await sync_to_async(runs.create)(
            topic="Tabs or spaces?", version=version, owner=alice, model="openai:gpt-4o"
        )
        await tasks.work(wait=False)
    failed = await run.events.aget(kind="node.failed")
    at = f"/runs/{run.pk}/steps/{failed.seq}/"

    def statuses() -> list[int]:
        client.force_login(alice)
        return [client.get(at).status_code, client.get(f"{at}input/").status_code]

    assert await sync_to_async(statuses)() == [200, 404]


def test_of_a_fork_whose_parent_is_gone_its_own_steps_still_show_theirs(
    client, new_run, drain, alice
):
    parent = new_run("Of both?")
    drain()
    child = runs.fork(parent, owner=alice, after=completed(parent)[1].seq)
    drain()
    parent.delete()
    client.force_login(alice)

    assert client.get(f"/runs/{child.pk}/").status_code == 200
    assert client.get(f"/runs/{child.pk}/steps/r3/input/").status_code == 404
    assert "Of both?" in shown(client, alice, child, completed(child)[0].seq)
