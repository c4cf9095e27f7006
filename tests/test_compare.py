"""Two runs side by side; and in the history the ticks that lead there, and what goes on."""

import re
from uuid import uuid4

import pytest

from experience.dashboard import curve
from runtime import gates, models, runs
from tests.conftest import the_gate

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \u202etxt.exe {{ 7 }}"
LOOP = ("d > k", "k revise> d", "k approve> w")


@pytest.fixture
def page(client, alice):
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def make(default, alice):
    """A run of alice's as its end has left it, without doing any work."""

    def create(topic="What is it?", *, usage=None, **more):
        used = {"calls": 5, "input_tokens": 1000, "output_tokens": 140, "cost": "0.0125"}
        used |= {"partial": False, "scripted": False, "models": ["openai:gpt-4o"]}
        row = {
            "blueprint_version": default,
            "owner": alice,
            "input_topic": topic,
            "model": "openai:gpt-4o",
            "usage": {**used, **(usage or {})},
            "started_at": "2026-01-02T03:04:00Z",
            "ended_at": "2026-01-02T03:05:12Z",
            "status": "completed",
            "reason": "approved",
            "approved": True,
        }
        made = models.Run.objects.create(**row | more)
        return models.Run.objects.get(pk=made.pk)

    return create


@pytest.fixture
def worked(new_run, drain):
    """A run that a worker has taken to its end, or to where it waits."""

    def start(topic="Should we?", **more):
        run = new_run(topic, **more)
        drain()
        run.refresh_from_db()
        return run

    return start


def compare(page, a, b, more=""):
    return page.get(f"/runs/compare/?a={a.pk}&b={b.pk}{more}")


def rows(page, a, b):
    found = compare(page, a, b).context["rows"]
    return {row.name: (row.a, row.b, row.more) for row in found}


def body(answer):
    assert answer.status_code == 200
    return answer.content.decode()


# --- what is asked for -----------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?a=x&b=y", "?a={id}", "?a={id}&b={id}", "?run={id}"])
def test_what_cannot_be_compared_is_said_with_what_to_do(page, make, query):
    answer = page.get("/runs/compare/" + query.format(id=make().pk))

    assert answer.status_code == 400
    assert "In the list of runs tick two" in answer.content.decode()


def test_two_ticked_rows_lead_to_their_comparison_without_script(page, make):
    one, other = make(), make()

    answer = page.get(f"/runs/compare/?run={one.pk}&run={other.pk}", follow=True)

    assert answer.redirect_chain == [(f"/runs/compare/?a={one.pk}&b={other.pk}", 302)]
    assert answer.status_code == 200


def test_runs_that_are_not_ones_own_are_not_found(page, make, bob):
    mine, theirs = make(), make(owner=bob)

    assert compare(page, mine, theirs).status_code == 404
    assert compare(page, theirs, mine).status_code == 404
    assert page.get(f"/runs/compare/?a={mine.pk}&b={uuid4()}").status_code == 404


# --- what each took --------------------------------------------------------------------


def test_what_they_took_stands_side_by_side_with_how_much_more_it_is(page, make):
    one = make(critic_score=6.5, iteration_count=2)
    other = make(
        critic_score=8,
        iteration_count=5,
        ended_at="2026-01-02T03:04:50Z",
        usage={"calls": 3, "input_tokens": 22000, "cost": "0.002"},
        limits={"calls": 9},
    )

    found = rows(page, one, other)

    assert found["last score"] == ("6.5 / 10", "8 / 10", "+1.5")
    assert found["rounds"] == ("2", "5", "+3")
    assert found["duration"] == ("1 m 12 s", "50 s", "−22 s")
    assert found["calls"] == ("5", "3", "−2")
    assert found["tokens in"] == ("1\u202f000", "22\u202f000", "+21\u202f000")
    assert found["cost"] == ("$0.0125", "$0.002", "−0.0105 $")
    assert found["limits"] == ("none", "9 calls", "")


def test_what_is_not_known_is_unknown_and_makes_no_difference(page, make):
    found = rows(page, make(usage={"cost": None, "output_tokens": None}), make())

    assert found["cost"] == ("unknown", "$0.0125", "")
    assert found["tokens out"] == ("unknown", "140", "")
    assert found["last score"] == ("none", "none", "")


def test_of_calls_that_were_broken_off_only_the_least_is_said(page, make):
    found = rows(page, make(usage={"partial": True}), make())

    assert found["cost"][0] == "at least $0.0125"
    assert found["tokens in"][0] == "at least 1\u202f000"


def test_what_they_differ_in_is_said_in_words(page, make, council, alice):
    own = council(*LOOP)
    one = make("Is it good?")
    other = make(
        "Is it bad?",
        blueprint_version=own,
        model="demo:instant",
        god_mode=True,
        limits={"x": 1},
    )

    says = compare(page, one, other).context["says"]

    assert [line.split(":")[0] for line in says] == [
        "Different topics",
        "Different blueprints.",
        "Different models for nodes that name none",
        "Different limits.",
        "B went step by step, the other on auto-pilot.",
    ]


def test_runs_that_differ_in_nothing_say_so(page, make):
    assert "what differs came by chance" in body(compare(page, make(), make()))


def test_two_versions_of_a_blueprint_are_told_apart_with_what_changed(page, make, council):
    first = council(*LOOP, k={"threshold": 8.0})
    document = {**first.document}
    document["nodes"] = [dict(node) for node in document["nodes"]]
    document["nodes"][1]["settings"] = {"threshold": 7.0}
    second = first.blueprint.versions.create(number=2, document=document)

    answer = compare(page, make(blueprint_version=first), make(blueprint_version=second))

    assert answer.context["says"] == ["Different versions of one blueprint: 1 and 2."]
    assert "<bdi>8</bdi> → <bdi>7</bdi>" in body(answer)


def test_a_fork_says_what_it_reuses_and_that_it_took_less(page, worked, drain, alice):
    parent = worked()
    step = parent.events.filter(kind="node.completed").order_by("seq").first()
    child = runs.fork(parent, after=step.seq, owner=alice)
    drain()

    answer = compare(page, child, parent)

    assert "A is a fork of B and reuses its first steps" in body(answer)
    first = answer.context["choices"][1][1]
    assert "Both are the same, word for word" in body(page.get(first))


# --- how they went ---------------------------------------------------------------------


def test_each_says_how_it_ended(page, worked):
    one, other = worked(), worked(limits={"calls": 2})

    text = body(compare(page, one, other))

    assert "Approved by the critic: last score 8.5" in text
    assert "Stopped at the call limit, not approved: last score 6.5" in text
    assert text.count('class="scripted"') == 2


def test_a_run_that_goes_on_is_compared_as_of_now_and_says_so(page, worked):
    one, other = worked(), worked(god_mode=True)
    gates.answer(the_gate(other).pk, action="approve", by="alice")

    answer = compare(page, one, other)

    assert "Goes on: what is said here is as of now" in body(answer)
    assert rows(page, one, other)["duration"][1:] == ("goes on", "")
    assert "No text yet." in body(answer)


def test_a_run_that_was_cancelled_has_no_result_but_its_last_draft(page, worked):
    one, other = worked(), worked(god_mode=True)
    runs.cancel(other.pk, by="alice")
    models.Run.objects.filter(pk=other.pk).update(current_draft="As far as it came.")

    text = body(compare(page, one, other))

    assert "Cancelled by alice" in text
    assert "no result; its last draft" in text
    assert "As far as it came." in text


def test_scores_stand_by_round_with_what_is_needed(page, worked):
    one, other = worked(), worked(limits={"calls": 2})

    (chart,) = compare(page, one, other).context["charts"]

    assert chart.title == "Critic"
    assert chart.rows == [(1, "6.5", "6.5"), (2, "8.5", "")]
    assert [word for word, _ in chart.needed] == ["8 needed"]


def test_critics_of_different_councils_share_a_picture_in_their_order():
    a = [curve.Curve("Critic", {1: 5.0, 2: 9.0}, 8)]
    b = [curve.Curve("Editor", {1: 0.0}, 7), curve.Curve("Judge", {7: 10.0}, 8)]

    first, second = curve.charts(a, b)

    assert first.title == "Critic and Editor"
    assert [word for word, _ in first.needed] == ["8 needed in A", "7 needed in B"]
    assert second.rows == [(7, "", "10")]
    for line in (first.a, first.b, second.b):
        for point in line.points:
            assert 0 < point.x < curve.WIDTH
            assert 0 < point.y < curve.HEIGHT


# --- texts -----------------------------------------------------------------------------


def test_the_results_stand_side_by_side_with_what_only_one_has_marked(page, make):
    same = "It takes three people one week to do all of this well, "
    text = body(
        compare(
            page, make(current_draft=same + "he says."), make(current_draft=same + "or two.")
        )
    )

    assert text.count(same.strip()) == 2
    assert re.findall("<mark>(.*?)</mark>", text) == ["he says.", "or two."]
    assert "2 words in A, 2 in B" in text


def test_texts_that_share_too_little_stand_as_they_are(page, make):
    one, other = make(current_draft="**One** thing."), make(current_draft="Quite another.")

    text = body(compare(page, one, other))

    assert "They share too little" in text
    assert "<strong>One</strong> thing." in text


def test_drafts_are_compared_round_by_round(page, worked):
    one, other = worked("Is it good?"), worked("Is it bad?", limits={"calls": 3})

    choices = compare(page, one, other).context["choices"]
    second = page.get(choices[2][1])

    assert [word for word, _, _ in choices] == [
        "Results",
        "Round 1, Master",
        "Round 2, Master",
        "Round 2, Writer",
    ]
    assert second.context["title"] == "Round 2, Master"
    assert "<mark>" in body(second)
    assert "No such draft." in body(page.get(choices[3][1]))
    assert compare(page, one, other, "&show=99").context["title"] == "Results"
    assert compare(page, one, other, "&show=%00x").context["title"] == "Results"


def test_drafts_of_different_councils_meet_in_the_order_they_came(page, worked, council):
    one, other = worked(), worked(version=council(*LOOP))

    choices = compare(page, one, other).context["choices"]

    assert choices[1][0] == "Round 1, Master and d"


def test_what_a_person_wrote_at_a_gate_is_the_draft_it_went_on_with(
    page, worked, council, drain
):
    gated = worked(version=council("d > w", d={"gateAfter": {}}))
    change = {"current_draft": "Written by hand."}
    gates.answer(the_gate(gated).pk, action="modify", by="alice", says=change)
    drain()

    choices = compare(page, gated, worked()).context["choices"]
    written = [
        body(page.get(link)) for word, link, _ in choices if word.startswith("Round 1, d")
    ]

    assert "Written by hand." in written[0]


def test_hostile_text_is_shown_harmless(page, make, default):
    models.Blueprint.objects.update(name=HOSTILE)
    one = make(HOSTILE, current_draft=HOSTILE, model=HOSTILE)
    other = make(HOSTILE * 2, current_draft=HOSTILE + " more", usage={"models": [HOSTILE]})

    text = body(compare(page, one, other))

    assert "<script>alert" not in text
    assert "<img src=x" not in text


def test_a_comparison_needs_few_queries_however_long_the_runs(
    page, worked, django_assert_max_num_queries
):
    short, long = worked(limits={"calls": 1}), worked()
    with django_assert_max_num_queries(14):
        compare(page, short, short)
    with django_assert_max_num_queries(14):
        compare(page, long, short)


# --- the history -----------------------------------------------------------------------


def test_only_the_rows_that_were_asked_for_are_answered_and_only_ones_own(page, make, bob):
    mine, other, theirs = make("Mine"), make("Not asked for"), make("Bob's", owner=bob)

    text = body(page.get(f"/runs/rows/?id={mine.pk}&id={theirs.pk}&id=nonsense"))

    assert f'id="run-{mine.pk}"' in text
    assert str(theirs.pk) not in text
    assert str(other.pk) not in text
    assert body(page.get("/runs/rows/")).count("<tr") == 0


def test_a_row_says_whether_it_goes_on(page, make, new_run):
    ended, pending = make(), new_run()

    text = body(page.get("/runs/"))

    assert re.search(f'id="run-{pending.pk}" data-goes-on>', text)
    assert re.search(f'id="run-{ended.pk}">', text)


def test_the_rows_need_few_queries_however_many(page, make, django_assert_max_num_queries):
    ids = "&".join(f"id={make(f'topic {n}').pk}" for n in range(25))

    with django_assert_max_num_queries(6):
        text = body(page.get(f"/runs/rows/?{ids}"))

    assert text.count("<tr") == 25


def test_a_trial_is_called_one_and_is_no_council_to_choose(page, make, council):
    tried = council(*LOOP)
    models.Blueprint.objects.filter(pk=tried.blueprint_id).update(is_trial=True, name="Tried")
    make(blueprint_version=tried)

    answer = page.get("/runs/")

    assert "trial</span>" in body(answer)
    assert answer.context["councils"] == []
    chosen = page.get(f"/runs/?blueprint={tried.blueprint_id}")
    assert [name for _, name in chosen.context["councils"]] == ["Tried"]
