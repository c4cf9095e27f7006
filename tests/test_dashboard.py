"""The pages that the server renders: start, history, approvals, signing in."""

import json
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone

from experience.dashboard import estimates, told
from runtime import gates, models, runs
from tests.conftest import the_gate

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>"
    "[a](javascript:alert(1)) \u202etxt.exe {{ 7 }} {% now %}"
)
CSP = "Content-Security-Policy"
PAGES = ["/", "/runs/", "/approvals/"]


@pytest.fixture
def page(client, alice):
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def make(default, alice):
    """A run of alice's as its end has left it, without doing any work."""

    def create(topic="What is it?", *, age=0, usage=None, **more):
        start = timezone.now() - timedelta(minutes=age + 1)
        ended = {"status": "completed", "reason": "approved", "approved": True}
        row = models.Run.objects.create(
            **{
                "blueprint_version": default,
                "owner": alice,
                "input_topic": topic,
                "model": "demo:instant",
                "started_at": start,
                "ended_at": start + timedelta(seconds=72),
                "usage": used(**(usage or {})),
            }
            | ended
            | more
        )
        models.Run.objects.filter(pk=row.pk).update(created_at=start)
        return row

    return create


def used(**more):
    usage = {"calls": 5, "input_tokens": 1000, "output_tokens": 140, "cost": "0.0125"}
    return usage | {"partial": False, "scripted": True, "models": ["demo:instant"]} | more


def text(page, path):
    answer = page.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def topics(page, query=""):
    return [row.topic for row in page.get(f"/runs/{query}").context["rows"]]


class Markup(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self, source):
        super().__init__()
        self.tags = []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


# --- signing in ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/runs/1b4e28ba-2fa1-11d2-883f-0016d3cca427/"])
def test_who_is_not_signed_in_is_led_to_sign_in_and_back(client, db, path):
    answer = client.get(path)

    assert answer.status_code == 302
    assert answer["Location"] == f"/accounts/sign-in/?next={path}"


def test_one_signs_in_with_name_and_password_and_out_again(client, alice):
    alice.set_password("a good password")
    alice.save()
    form = {"username": "alice", "password": "a good password", "next": "/runs/"}

    assert client.post("/accounts/sign-in/", form)["Location"] == "/runs/"
    assert client.get("/").status_code == 200
    assert client.post("/accounts/sign-out/")["Location"] == "/accounts/sign-in/"
    assert client.get("/").status_code == 302


def test_a_wrong_password_is_said_and_the_name_kept(client, alice):
    answer = client.post("/accounts/sign-in/", {"username": "alice", "password": "wrong"})

    assert "correct username and password" in answer.content.decode()
    assert 'value="alice"' in answer.content.decode()


def test_signing_in_leads_to_no_other_server(client, alice):
    alice.set_password("a good password")
    alice.save()
    form = {"username": "alice", "password": "a good password", "next": "//evil.example/"}

    assert client.post("/accounts/sign-in/", form)["Location"] == "/"


# --- every page ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/accounts/sign-in/", "/nothing/", "/admin/login/"])
def test_a_page_may_load_and_run_only_what_is_the_servers_own(client, admin_user, path):
    if "sign-in" not in path and "login" not in path:
        client.force_login(admin_user)

    answer = client.get(path)

    policy = dict(part.strip().split(" ", 1) for part in answer.headers[CSP].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert "unsafe" not in answer.headers[CSP]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"


@pytest.mark.parametrize("path", [*PAGES, "/accounts/sign-in/", "/nothing/"])
def test_no_page_has_script_or_style_in_itself_or_from_elsewhere(client, admin_user, path):
    if path != "/accounts/sign-in/":
        client.force_login(admin_user)

    for tag, attributes in Markup(client.get(path).content.decode()).tags:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/dashboard/")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for link in ("href", "src", "action"):
            assert not attributes.get(link, "").startswith(("http", "//", "javascript:"))


def test_the_api_document_may_style_itself_and_no_more(client, admin_user):
    client.force_login(admin_user)

    policy = client.get("/api/docs/").headers[CSP]

    assert "style-src 'self' 'unsafe-inline'" in policy
    assert policy.count("unsafe") == 1
    assert client.get("/api/docs/").content.decode().count("<script>") == 0


@pytest.mark.parametrize("path", [*PAGES, "/accounts/sign-in/"])
def test_all_that_a_page_loads_is_there(client, admin_user, path):
    if path != "/accounts/sign-in/":
        client.force_login(admin_user)
    tags = Markup(client.get(path).content.decode()).tags
    wanted = {a.get("src") or a.get("href") for tag, a in tags if tag in ("script", "link")}

    assert wanted
    for each in wanted:
        answer = client.get(each)
        assert answer.status_code == 200, each
        answer.close()


def test_only_staff_are_shown_the_way_to_the_admin(client, page, admin_user):
    assert reverse("admin:index") not in text(page, "/")
    client.force_login(admin_user)
    assert reverse("admin:index") in text(client, "/")


def test_a_page_that_is_not_there_says_so_and_leads_on(page):
    answer = page.get("/runs/1b4e28ba-2fa1-11d2-883f-0016d3cca427/")

    assert answer.status_code == 404
    assert "not yours to see" in answer.content.decode()


# --- start -----------------------------------------------------------------------------


def test_the_start_offers_every_council_with_drawing_use_and_price(page, default):
    body = text(page, "/")

    for blueprint in models.Blueprint.objects.all():
        assert f"/api/councils/{blueprint.pk}/drawing?format=svg" in body
        assert f'data-run="/api/councils/{blueprint.pk}/run"' in body
    assert "Draft, critic, writer" in body
    assert "3 to 11 model calls" in body
    assert "Texts that have to be good" in body


def test_the_default_council_is_chosen_unless_another_is_asked_for(page, default):
    other = models.Blueprint.objects.get(slug="vote")

    assert page.get("/").context["chosen"].id == default.blueprint_id
    assert page.get(f"/?blueprint={other.pk}").context["chosen"].id == other.pk
    assert page.get("/?blueprint=nonsense").context["chosen"].id == default.blueprint_id


def test_nobody_is_offered_what_they_may_not_run(page, default, bob):
    theirs = models.Blueprint.objects.create(name="Bob's own", owner=bob)
    theirs.versions.create(number=1, document=default.document)

    assert "Bob&#x27;s own" not in text(page, "/")
    assert page.get(f"/estimates/{theirs.pk}/").status_code == 404


def test_a_council_may_say_anything_of_itself(page, council, alice):
    said = {"goodFor": ["x"], "notFor": HOSTILE, "calls": {"least": "3"}, "limits": "none"}
    blueprint = models.Blueprint.objects.create(name=HOSTILE[:200], owner=alice)
    blueprint.versions.create(number=1, document={**council("d > k").document, **said})

    body = text(page, "/")

    assert "Number of model calls unknown" in body
    assert "<script>alert" not in body


def test_without_any_council_the_start_says_what_to_do(page):
    assert "load_shipped" in text(page, "/")


def test_the_topic_of_the_address_is_filled_in(page, default):
    answer = page.get("/", {"topic": HOSTILE})

    assert "&lt;script&gt;alert(1)" in answer.content.decode()
    assert "<script>alert" not in answer.content.decode()


# --- the estimate ----------------------------------------------------------------------


def test_without_earlier_runs_there_is_no_estimate(page, default):
    answer = page.get(f"/estimates/{default.blueprint_id}/", {"model": "demo:instant"})

    assert answer.json()["text"] == (
        "No basis yet: no finished run of this council with demo:instant."
    )


def test_the_estimate_is_the_range_of_earlier_runs_and_says_of_how_many(page, make, default):
    make(usage={"calls": 3, "input_tokens": 900, "output_tokens": 100, "cost": "0.004"})
    make(usage={"calls": 7, "input_tokens": 2000, "output_tokens": 140, "cost": "0.011"})

    answer = page.get(f"/estimates/{default.blueprint_id}/", {"model": "demo:instant"})

    assert answer.json()["text"] == (
        "3 to 7 calls, 1\u202f000 to 2\u202f140 tokens, $0.004 to $0.011; "
        "by 2 earlier runs with demo:instant."
    )


def test_a_price_that_is_not_known_of_every_run_is_unknown(alice, make, default):
    make()
    make(usage={"cost": None})

    estimate = estimates.of(alice, default.blueprint_id, "demo:instant")

    assert estimate.cost is None
    assert estimate.text == "5 calls, 1\u202f140 tokens, cost unknown; " + (
        "by 2 earlier runs with demo:instant."
    )


@pytest.mark.parametrize(
    "other",
    [
        {"usage": {"partial": True}},
        {"model": "openai:gpt-4o"},
        {"reason": "call_limit", "approved": False},
        {"parent_seq": 7},
        {"status": "cancelled", "reason": "cancelled", "approved": None},
    ],
)
def test_only_whole_runs_with_the_same_model_are_a_basis(alice, make, default, other):
    make(**other)

    assert estimates.of(alice, default.blueprint_id, "demo:instant").runs == 0


def test_what_others_spent_is_no_basis(bob, make, default):
    make()

    assert estimates.of(bob, default.blueprint_id, "demo:instant").runs == 0


def test_a_model_that_is_not_set_up_has_no_estimate(page, default):
    answer = page.get(f"/estimates/{default.blueprint_id}/", {"model": "\x00nonsense"})

    assert answer.json()["text"] == "No basis: this model is not set up."


# --- history ---------------------------------------------------------------------------


def test_the_history_tells_of_each_run_what_it_was_and_what_it_took(page, make):
    make("Is it good?", critic_score=8.5, iteration_count=2)

    (row,) = page.get("/runs/").context["rows"]

    assert row.state == told.State("done", "completed")
    assert (row.score, row.duration, row.tokens) == ("8.5", "1 m 12 s", "1\u202f140")
    assert (row.cost, row.owner) == ("$0.0125", "alice")
    assert "Draft, critic, writer" in text(page, "/runs/")


def test_what_is_not_known_is_unknown_and_never_nothing(page, make):
    make(usage={"cost": None, "output_tokens": None})

    (row,) = page.get("/runs/").context["rows"]

    assert (row.cost, row.tokens, row.score) == ("unknown", "unknown", "")


def test_of_calls_that_were_broken_off_only_the_least_is_said(page, make):
    make(usage={"partial": True})

    (row,) = page.get("/runs/").context["rows"]

    assert (row.cost, row.tokens) == ("at least $0.0125", "at least 1\u202f140")


def test_a_run_that_a_limit_stopped_is_not_shown_as_a_success(page, make):
    make(reason="call_limit", approved=False)

    (row,) = page.get("/runs/").context["rows"]

    assert row.state == told.State("stopped", "not approved")
    assert row.why == "stopped at the call limit, not approved"


def test_a_run_that_goes_on_has_no_numbers_yet(page, new_run):
    new_run()

    (row,) = page.get("/runs/").context["rows"]

    assert row.state == told.State("waiting", "pending")
    assert (row.duration, row.tokens, row.cost) == ("", "", "")


def test_nobody_sees_what_is_not_theirs_and_an_administrator_sees_all(
    client, make, bob, admin_user
):
    make("alice's secret")
    client.force_login(bob)
    assert "secret" not in text(client, "/runs/")

    client.force_login(admin_user)

    assert topics(client) == ["alice's secret"]


def test_runs_are_filtered_by_status_and_council_and_searched(page, make, council):
    own = council("d > k")
    make("Apples and pears")
    make("Apples of another council", blueprint_version=own)
    make("Apples that failed", status="failed", reason="failed", error_code="x", approved=None)

    assert topics(page, "?status=failed") == ["Apples that failed"]
    assert topics(page, f"?blueprint={own.blueprint_id}") == ["Apples of another council"]
    assert topics(page, "?q=PEARS") == ["Apples and pears"]
    assert topics(page, "?q=apples&status=completed&sort=when") == [
        "Apples and pears",
        "Apples of another council",
    ]
    assert topics(page, "?q=100%25") == []


@pytest.mark.parametrize(
    ("column", "few", "many"),
    [
        ("score", {"critic_score": 3}, {"critic_score": 9}),
        ("rounds", {"iteration_count": 1}, {"iteration_count": 4}),
        ("tokens", {"usage": {"input_tokens": 9}}, {"usage": {"input_tokens": 10_000}}),
        ("cost", {"usage": {"cost": "0.9"}}, {"usage": {"cost": "10.1"}}),
        ("when", {"age": 9}, {"age": 3}),
    ],
)
def test_runs_are_sorted_by_any_column_both_ways(page, make, column, few, many):
    make("many", **many)
    make("few", **few)

    assert topics(page, f"?sort={column}") == ["few", "many"]
    assert topics(page, f"?sort=-{column}") == ["many", "few"]


def test_runs_are_sorted_by_how_long_they_took(page, make):
    now = timezone.now()
    make("short", started_at=now - timedelta(seconds=5), ended_at=now)
    make("long", started_at=now - timedelta(hours=5), ended_at=now)

    assert topics(page, "?sort=-duration") == ["long", "short"]


def test_what_has_no_value_comes_last_either_way(page, make):
    make("none", usage={"cost": None})
    make("some")

    assert topics(page, "?sort=cost") == topics(page, "?sort=-cost") == ["some", "none"]


def test_the_history_has_pages_and_the_address_keeps_all_that_was_chosen(page, make):
    for number in range(30):
        make(f"topic {number}", age=number)

    answer = page.get("/runs/?q=topic&sort=when&status=completed&page=2")

    shown = [row.topic for row in answer.context["rows"]]
    assert shown == [f"topic {number}" for number in (4, 3, 2, 1, 0)]
    pages = dict(answer.context["pages"])
    assert pages["1"] == "?status=completed&q=topic&sort=when&page=1"
    assert answer.context["sorts"]["when"].now == "ascending"
    assert answer.context["sorts"]["cost"].link == "?status=completed&q=topic&sort=-cost"


@pytest.mark.parametrize(
    "query",
    ["?page=99", "?page=x", "?sort=;drop", "?status=x", "?blueprint=x", "?q=%00%ED%A0%80"],
)
def test_what_makes_no_sense_in_the_address_does_no_harm(page, make, query):
    make()

    assert page.get(f"/runs/{query}").status_code == 200


def test_a_long_topic_is_cut_in_the_list(page, make):
    make("x" * 10_000)

    assert topics(page) == ["x" * 160 + "…"]
    assert len(text(page, "/runs/")) < 20_000


def test_an_empty_history_says_what_will_be_here(page, make):
    assert "Every run will be here" in text(page, "/runs/")
    make()
    assert "No run is like this" in text(page, "/runs/?q=nothing")


# --- approvals -------------------------------------------------------------------------


@pytest.fixture
def paused(new_run, drain):
    def start(topic="Should it go on?", **more):
        run = new_run(topic, god_mode=True, **more)
        drain()
        return run

    return start


def test_approvals_are_the_gates_that_wait_oldest_first_and_are_counted(page, paused):
    first, second = paused("First?"), paused("Second?")

    answer = page.get("/approvals/")

    assert [each.gate.run_id for each in answer.context["asked"]] == [first.pk, second.pk]
    assert '<span class="count">2<' in answer.content.decode()
    assert '<span class="count">2<' in text(page, "/")
    assert page.get("/approvals/count/").json() == {"waiting": 2}


def test_a_gate_that_was_answered_is_asked_no_more(page, paused, drain):
    run = paused()
    gate = the_gate(run)
    path = f"/api/councils/run/{run.pk}/approve"
    answer = {"action": "reject", "gate_id": str(gate.pk)}

    done = page.post(path, json.dumps(answer), content_type="application/json")

    assert done.status_code == 200
    assert page.get("/approvals/").context["asked"] == []
    assert 'class="count"' not in text(page, "/approvals/")


def test_of_two_gates_of_a_run_only_the_open_one_is_asked(page, new_run, council, drain):
    both = {"gateBefore": {}}
    run = new_run(version=council("d > d1", "d > d2", "d1 > w", "d2 > w", d1=both, d2=both))
    drain()
    run.refresh_from_db()
    first, second = gates.open_of(run)

    gates.answer(first.pk, action="approve", by="alice")

    assert [each.gate for each in page.get("/approvals/").context["asked"]] == [second]


def test_a_run_that_was_stopped_asks_nothing_any_more(page, paused):
    runs.cancel(paused().pk, by="alice")

    assert page.get("/approvals/").context["asked"] == []


def test_others_are_asked_only_where_they_are_named(client, council, new_run, drain, bob):
    group = Group.objects.create(name="editors")
    carol = User.objects.create_user("carol")
    carol.groups.add(group)
    before = {"gateBefore": {"answerers": ["group:editors"]}}
    new_run(version=council("d > w", w=before))
    drain()

    counts = {}
    for user in (bob, carol):
        client.force_login(user)
        counts[user.username] = len(client.get("/approvals/").context["asked"])

    assert counts == {"bob": 0, "carol": 1}


def test_an_administrator_is_asked_for_what_is_nobodys(client, paused, admin_user):
    paused(owner=None)
    client.force_login(admin_user)

    (asked,) = client.get("/approvals/").context["asked"]

    assert asked.whose == "nobody"


def test_whoever_is_listed_may_answer_and_nobody_else_may(client, paused, bob, alice):
    run = paused()
    path, body = f"/api/councils/run/{run.pk}/approve", json.dumps({"action": "approve"})

    client.force_login(bob)
    assert client.get("/approvals/").context["asked"] == []
    assert client.post(path, body, content_type="application/json").status_code == 404
    client.force_login(alice)
    assert len(client.get("/approvals/").context["asked"]) == 1
    assert client.post(path, body, content_type="application/json").status_code == 200


def test_where_there_is_nowhere_to_send_it_back_to_one_rejects_at_once(page, paused):
    gate = the_gate(paused())
    assert "data-opens" in text(page, "/approvals/")

    gate.targets, gate.actions = [], ["approve", "reject"]
    gate.save()

    body = text(page, "/approvals/")
    assert "data-opens" not in body
    assert "or change it" not in body


def test_at_a_limit_and_after_the_last_round_one_may_give_more(page, new_run, council, drain):
    loop = ("d > k", "k revise> d", "k approve> w")
    new_run(version=council(*loop, limits={"calls": 2, "atLimit": "ask"}))
    new_run(version=council(*loop, k={"maxIterations": 1}, limits={"atLimit": "ask"}))
    drain()

    found = page.get("/approvals/").context["asked"]

    asked = {(each.where, each.approve, each.reject) for each in found}
    assert asked == {
        ("at the call limit, in d", "Extend the limit", "Stop here"),
        ("at the limit of k", "One more round", "End the loop"),
    }


def test_an_empty_list_says_what_will_ask_here(page):
    assert "Nothing waits for you" in text(page, "/approvals/")


def test_only_an_excerpt_of_a_long_proposal_is_sent(page, paused):
    gate = the_gate(paused())
    gate.proposal = {**gate.proposal, "current_draft": "y" * 100_000}
    gate.save()

    body = text(page, "/approvals/")

    assert "All of it" in body
    assert len(body) < 20_000


# --- hostile text ----------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_hostile_text_is_shown_harmless(page, paused, make, path):
    run = paused(HOSTILE)
    gate = the_gate(run)
    gate.ask = HOSTILE
    gate.proposal = {**gate.proposal, "current_draft": HOSTILE, "why": HOSTILE}
    gate.save()
    User.objects.filter(username="alice").update(username=HOSTILE[:150])
    models.Blueprint.objects.update(name=HOSTILE[:200])

    tags = Markup(text(page, path)).tags

    assert not [a for tag, a in tags if tag == "script" and "src" not in a]
    assert not [a for _tag, a in tags if a.keys() & {"onerror", "onload"}]
    assert not [a for _tag, a in tags if a.get("href", "").startswith("javascript:")]


# --- how much it asks of the database --------------------------------------------------


@pytest.mark.parametrize("path", ["/runs/?sort=-cost", "/runs/?q=topic&page=2"])
def test_the_history_needs_few_queries_however_many_runs(
    page, make, path, django_assert_max_num_queries
):
    for number in range(60):
        make(f"topic {number}", age=number)

    with django_assert_max_num_queries(8):
        page.get(path)


def test_approvals_need_few_queries_however_many_gates(
    page, paused, django_assert_max_num_queries
):
    gate = the_gate(paused())
    for number in range(20):
        gate.pk, gate.number = None, number + 10
        gate.save(force_insert=True)

    with django_assert_max_num_queries(7):
        answer = page.get("/approvals/")

    assert len(answer.context["asked"]) == 21


def test_the_start_needs_few_queries_however_many_councils(
    page, default, alice, django_assert_max_num_queries
):
    for number in range(20):
        blueprint = models.Blueprint.objects.create(name=f"Council {number}", owner=alice)
        blueprint.versions.create(number=1, document=default.document)

    with django_assert_max_num_queries(9):
        page.get("/")


def test_durations_are_written_in_two_units_at_most():
    spans = [0.44, 38, 72, 3_600, 7_500, 360_000]

    written = [told.duration(timedelta(seconds=each)) for each in spans]

    assert written == ["0.4 s", "38 s", "1 m 12 s", "1 h 00 m", "2 h 05 m", "100 h 00 m"]
