"""The page of a run and its fragments: who sees them, what they say, and that none harms."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from experience.dashboard import changes, plan, prose
from runtime import gates, models, runs
from runtime.llm import script
from tests import conftest, councils

HOSTILE = (
    "# Title\n\n<script>alert(1)</script> <img src=x onerror=alert(1)>\n\n"
    "[press](javascript:alert(1)) [ok](https://example.org/) ![seen](https://example.org/a.png)\n\n"
    "\u202eright to left\u202c and \x00 nothing"
)


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


def data_of(answer) -> dict:
    found = re.search(
        r'<script id="run-data" type="application/json">(.*?)</script>',
        answer.content.decode(),
        re.S,
    )
    assert found
    return json.loads(found[1])


def completed(run: models.Run, node: str) -> models.Event:
    return run.events.filter(kind="node.completed", data__node=node).latest("seq")


def step_of(page: Client, run: models.Run, node: str) -> str:
    """The fragment of a node's last finished step."""
    answer = page.get(f"/runs/{run.pk}/steps/{completed(run, node).seq}/")
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def writes(monkeypatch) -> Callable[..., None]:
    """Let nodes of a kind write these texts, one in each iteration, the last from then on."""

    def write(kind: str, *texts: str) -> None:
        def text(asked: script.Asked) -> str:
            return texts[min(asked.iteration, len(texts)) - 1]

        monkeypatch.setitem(script._TEXTS, kind, text)

    return write


# --- who sees it -----------------------------------------------------------------------

PATHS = ("", "result/", "steps/1/", "export", "gates/7a0b3ad6-2d5a-4d7b-9c3e-111111111111/")


@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_signed_in_is_led_to_sign_in(client, new_run, path):
    answer = client.get(f"/runs/{new_run().pk}/{path}")

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/sign-in/?next=/runs/")


@pytest.mark.parametrize("path", PATHS)
def test_somebody_elses_run_is_not_found(client, new_run, drain, bob, path):
    run = new_run()
    drain()
    client.force_login(bob)

    assert client.get(f"/runs/{run.pk}/{path}").status_code == 404


def test_whoever_a_gate_names_sees_the_page_but_has_no_control_of_the_run(
    client, council, drain, alice, bob
):
    editors = Group.objects.create(name="editors")
    bob.groups.add(editors)
    version = council("d > w", w={"gateBefore": {"answerers": ["group:editors"]}})
    run = runs.create(topic="A topic", version=version, owner=alice, model="demo:instant")
    drain()
    client.force_login(bob)
    answer = client.get(f"/runs/{run.pk}/")
    shown = client.get(f"/runs/{run.pk}/gates/{conftest.the_gate(run).pk}/").content.decode()

    assert answer.status_code == 200
    assert 'id="stop"' not in answer.content.decode()
    assert data_of(answer)["mine"] == ["user:bob", "group:editors"]
    assert "waiting for you" in shown
    assert 'value="approve"' in shown


def test_a_gate_that_is_not_the_readers_shows_what_is_asked_but_no_buttons(
    page, council, drain, alice
):
    version = council("d > w", w={"gateBefore": {"ask": "Well?", "answerers": ["user:bob"]}})
    run = runs.create(topic="A topic", version=version, owner=alice, model="demo:instant")
    drain()
    shown = page.get(f"/runs/{run.pk}/gates/{conftest.the_gate(run).pk}/").content.decode()

    assert "Well?" in shown
    assert "user:bob" in shown
    assert "<button" not in shown


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_page_changes_nothing(page, new_run, method):
    assert getattr(page, method)(f"/runs/{new_run().pk}/").status_code == 405


# --- the page --------------------------------------------------------------------------


def test_a_pending_run_has_its_plan_and_no_result(page, new_run):
    answer = page.get(f"/runs/{new_run().pk}/")
    told = data_of(answer)

    assert [node["id"] for node in told["plan"]["nodes"]] == [
        "master_agent",
        "critic_agent",
        "writer_agent",
    ]
    assert told["plan"]["rounds"] == 5
    assert told["mine"] == ["owner", "user:alice"]
    assert re.search(r'<section id="result"[^>]* hidden>', answer.content.decode())


def test_an_ended_run_shows_the_outcome_in_the_words_of_all_doors_and_the_result(
    page, new_run, drain
):
    run = new_run()
    drain()
    run.refresh_from_db()
    shown = page.get(f"/runs/{run.pk}/").content.decode()

    assert "Approved by the critic: last score 8.5" in shown
    assert "Scripted demo model: no AI wrote this." in shown
    assert run.final_draft.splitlines()[-1][-40:] in shown


def test_a_run_that_stopped_at_its_limit_says_so_with_the_last_real_score(page, new_run, drain):
    run = new_run(limits={"iterations": 1})
    drain()
    shown = page.get(f"/runs/{run.pk}/result/").content.decode()

    assert "Stopped at the limit, not approved: last score 6.5" in shown


def test_a_failed_run_says_why_and_that_there_is_no_draft(page, new_run, drain):
    run = new_run(limits={"tokens": 300})
    drain()
    shown = page.get(f"/runs/{run.pk}/result/").content.decode()

    assert "Failed: The token limit left no room for a call, and there is no draft." in shown
    assert "There is no result, and no draft." in shown


def test_a_run_that_goes_on_has_an_empty_result(page, new_run):
    assert page.get(f"/runs/{new_run().pk}/result/").content.decode().strip() == ""


def test_a_fork_brings_the_steps_that_it_reuses_and_shows_their_texts(
    page, new_run, drain, alice
):
    parent = new_run()
    drain()
    after = completed(parent, "critic_agent").seq
    child = runs.fork(parent, after=after, owner=alice)
    drain()
    told = data_of(page.get(f"/runs/{child.pk}/"))["reused"]
    first = next(frame for frame in told if frame["event"] == "node_complete")
    shown = page.get(f"/runs/{child.pk}/steps/{first['step']}/").content.decode()

    assert [f["node"] for f in told if f["event"] == "node_complete"] == [
        "master_agent",
        "critic_agent",
        "master_agent",
        "critic_agent",
    ]
    assert "draft" not in first["output"]
    assert "a plan" in shown or "demo model" in shown


def test_the_page_and_each_fragment_take_few_queries(
    page, new_run, drain, django_assert_max_num_queries
):
    run = new_run()
    drain()
    seq = completed(run, "writer_agent").seq

    with django_assert_max_num_queries(11):
        page.get(f"/runs/{run.pk}/")
    with django_assert_max_num_queries(8):
        page.get(f"/runs/{run.pk}/steps/{seq}/")
    with django_assert_max_num_queries(8):
        page.get(f"/runs/{run.pk}/result/")


@pytest.mark.parametrize("which", ["0", "1", "99999", "r0", "rx", "-1", "1" * 20, "²"])
def test_a_step_that_there_is_not_is_not_found(page, new_run, drain, which):
    run = new_run()
    drain()

    assert page.get(f"/runs/{run.pk}/steps/{which}/").status_code == 404


# --- steps and gates -------------------------------------------------------------------


def test_a_steps_text_is_markdown_and_its_cost_is_told(page, new_run, drain, writes):
    writes("writer", "\n\n# Title\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    run = new_run()
    drain()
    shown = step_of(page, run, "writer_agent")

    assert "<h4>Title</h4>" in shown
    assert "<li>one</li>" in shown
    assert "<td>1</td>" in shown
    assert "demo:instant" in shown
    assert "<dt>tokens out</dt>" in shown


def test_a_critics_step_shows_score_decision_and_feedback(page, new_run, drain):
    run = new_run()
    drain()
    shown = step_of(page, run, "critic_agent")

    assert "8.5 / 10" in shown
    assert "<dt>decision</dt><dd><bdi>approve</bdi>" in shown


def test_a_draft_shows_what_changed_since_the_one_before(page, new_run, drain, writes):
    first, second = (
        "The plan has three steps and no owner.",
        "The plan has three steps, and Ann.",
    )
    writes("draft", first, second)
    run = new_run()
    drain()
    shown = step_of(page, run, "master_agent")

    assert "<del> no owner.</del>" in shown
    assert "<ins> Ann.</ins>" in shown
    assert "<ins>+2</ins> <del>−3</del>" in shown


def test_a_draft_written_anew_shows_the_one_before_and_no_comparison(
    page, new_run, drain, writes
):
    writes("draft", "One thing, at some length, with many words.", "Quite another, " * 20)
    run = new_run()
    drain()
    shown = step_of(page, run, "master_agent")

    assert "Written anew" in shown
    assert "<ins>" not in shown


def test_a_gate_shows_the_proposal_and_what_may_be_changed(page, new_run, drain):
    run = new_run(god_mode=True)
    drain()
    gates.answer(conftest.the_gate(run).pk, action="approve", by="alice")
    drain()
    gate = conftest.the_gate(run)
    shown = page.get(f"/runs/{run.pk}/gates/{gate.pk}/").content.decode()

    assert "Before Critic: waiting for you" in shown
    assert 'data-modify="current_draft"' in shown
    assert 'data-modify="feedback"' in shown
    assert "<dt>cost so far</dt>" in shown


def test_a_gate_says_what_a_whole_run_took_where_there_was_one(page, new_run, drain):
    first = new_run(god_mode=True)
    drain()
    at = f"/runs/{first.pk}/gates/{conftest.the_gate(first).pk}/"
    before = page.get(at).content.decode()
    new_run()
    drain()
    after = page.get(at).content.decode()

    assert "a whole run" not in before
    assert "5 calls" in after
    assert f"by 1 earlier run with {first.model}" in after


def test_an_answered_gate_says_who_answered_it_and_how(page, new_run, drain):
    run = new_run(god_mode=True)
    drain()
    gate = conftest.the_gate(run)
    gates.answer(gate.pk, action="approve", by="alice")
    shown = page.get(f"/runs/{run.pk}/gates/{gate.pk}/").content.decode()

    assert "Before Master: approved by <bdi>alice</bdi>." in shown
    assert "<form" not in shown


def test_a_gate_at_a_limit_offers_as_much_again(page, council, drain, alice):
    version = council(
        "d > k", "k revise> d", "k approve> w", limits={"calls": 1, "atLimit": "ask"}
    )
    run = runs.create(topic="A topic", version=version, owner=alice, model="demo:instant")
    drain()
    gate = conftest.the_gate(run)
    shown = page.get(f"/runs/{run.pk}/gates/{gate.pk}/").content.decode()

    assert "At the call limit, in k: waiting for you" in shown
    assert 'value="2" data-limit="calls"' in shown


# --- export ----------------------------------------------------------------------------


def test_a_run_is_exported_as_markdown_and_as_json(page, new_run, drain):
    run = new_run()
    drain()
    markdown = page.get(f"/runs/{run.pk}/export")
    whole = page.get(f"/runs/{run.pk}/export?format=json")

    assert markdown.content.decode().startswith(f"# Council run {run.pk}")
    assert markdown.headers["Content-Disposition"] == f'attachment; filename="run-{run.pk}.md"'
    assert whole.json()["run"]["id"] == str(run.pk)
    assert page.get(f"/runs/{run.pk}/export?format=pdf").status_code == 400


# --- harmless --------------------------------------------------------------------------


class Tags(HTMLParser):
    """What a browser would make of a page: its elements with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    """Nothing of it runs, loads or leads astray."""
    for tag, attributes in Tags(html).found:
        assert tag not in ("img", "iframe", "object", "style")
        assert (
            tag != "script" or "src" in attributes or attributes["type"] == "application/json"
        )
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert not (attributes.get("href") or "").startswith("javascript")


def test_hostile_text_is_harmless_on_the_page_and_in_each_fragment(
    page, new_run, drain, writes
):
    writes("draft", HOSTILE)
    run = new_run(HOSTILE.replace("\x00", ""), god_mode=True)
    for _ in range(2):
        drain()
        gates.answer(conftest.the_gate(run).pk, action="approve", by="alice")
    drain()
    gate = conftest.the_gate(run)
    runs.cancel(run.pk, by=HOSTILE.replace("\x00", ""))

    for path in ("", "result/", f"gates/{gate.pk}/"):
        assert_harmless(page.get(f"/runs/{run.pk}/{path}").content.decode())
    step = step_of(page, run, "master_agent")
    assert_harmless(step)
    assert 'rel="noopener noreferrer nofollow">ok</a>' in step


def test_markdown_is_read_without_html_pictures_and_strange_addresses():
    made = prose.html(HOSTILE)

    assert made is not None
    assert_harmless(made)
    assert "&lt;script&gt;" in made


@pytest.mark.parametrize("sign", ["[", "*a ", ">", "a\n", "`", "_a__", "[a](", "<a ", "- "])
def test_text_that_is_hard_to_read_as_markdown_is_read_in_no_time(sign):
    assert prose.html(sign * (prose.LONGEST // len(sign))) is not None


def test_text_too_long_for_markdown_is_shown_as_it_is(page, new_run, drain, writes):
    writes("writer", "*long* " * 10_000)
    run = new_run()
    drain()

    assert "*long* *long*" in step_of(page, run, "writer_agent")


# --- the parts -------------------------------------------------------------------------


def test_changes_keep_every_word_of_both_texts():
    old, new = "a b  c\nd e ", "a x  c\nd f g "
    found = changes.between(old, new)

    assert found is not None
    assert "".join(piece.text for piece in found.before) == old
    assert "".join(piece.text for piece in found.after) == new
    assert (found.added, found.removed) == (3, 2)


def test_texts_that_take_long_to_compare_are_not_compared():
    assert changes.between("a " * 9_000, "a " * 8_999) is None


def test_every_shipped_blueprint_has_a_plan_on_a_grid(default, alice):
    for blueprint in models.Blueprint.objects.all():
        run = runs.create(
            topic="A topic", version=blueprint.newest, owner=alice, model="demo:instant"
        )
        made = plan.of(run)
        spots = [tuple(node["spot"]) for node in made["nodes"]]

        assert len(set(spots)) == len(spots)
        assert all(0 <= column < made["columns"] for column, _ in spots)
        assert all(made["rows"][0] <= row <= made["rows"][1] for _, row in spots)


# --- text that grows -------------------------------------------------------------------


def form(client: Client, body: object):
    return client.post("/prose/", json.dumps(body), content_type="application/json")


def test_blocks_of_a_growing_text_become_harmless_html_in_their_order(page):
    answer = form(page, {"blocks": ["# One", "two **three**", HOSTILE, "x" * 60_000]})
    one, two, three, four = answer.json()["html"]

    assert one == "<h4>One</h4>\n"
    assert two == "<p>two <strong>three</strong></p>\n"
    assert "<script" not in three
    assert "javascript:" not in "".join(re.findall(r"<[^>]*>", three))
    assert four is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"blocks": "text"}, 400),
        ({"blocks": [1]}, 400),
        ({}, 400),
        ([], 400),
        ({"blocks": ["x" * 50_001] * 2}, 413),
        ({"blocks": [""] * 1_001}, 413),
    ],
)
def test_blocks_that_are_none_or_too_many_are_refused(page, body, status):
    answer = form(page, body)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_who_is_signed_out_is_given_no_html(client):
    assert form(client, {"blocks": ["a"]}).status_code == 401


def test_half_a_sign_is_given_its_form_too(page):
    assert form(page, {"blocks": ["\ud800"]}).json()["html"] == ["<p>\ufffd</p>\n"]


def test_a_table_that_would_fill_itself_up_is_shown_as_it_was_written():
    assert prose.html("|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n" + "|x\n" * 14_000) is None


def test_a_label_turns_nothing_around_where_it_stands(page, shipped_blueprints, alice, drain):
    document = councils.document("d > w", w={"gateBefore": {}})
    document["nodes"][1]["label"] = "\u202eabc\u2066"
    blueprint = models.Blueprint.objects.create(name="Turned", owner=alice)
    version = blueprint.versions.create(number=1, document=document)
    run = runs.create(topic="A topic", version=version, owner=alice, model="demo:instant")
    drain()
    shown = page.get(f"/runs/{run.pk}/gates/{conftest.the_gate(run).pk}/").content.decode()

    assert data_of(page.get(f"/runs/{run.pk}/"))["plan"]["nodes"][1]["label"] == "abc"
    assert "before abc" in page.get("/approvals/").content.decode()
    assert "abc is next." in shown
    assert "\u202e" not in shown


# --- and the admin ---------------------------------------------------------------------


def test_who_may_inspect_runs_is_led_to_the_admin_and_nobody_else(page, new_run, alice):
    run = new_run()
    address = f"/admin/runtime/run/{run.pk}/change/"
    before = page.get(f"/runs/{run.pk}/").content.decode()
    alice.is_staff = alice.is_superuser = True
    alice.save()

    assert address not in before
    assert address in page.get(f"/runs/{run.pk}/").content.decode()
