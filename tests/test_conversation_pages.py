"""The pages of conversations as the server renders them: whose they are, and what they say."""

import json
import re
import uuid

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from experience import conversations
from experience.dashboard.conversations import turn
from experience.models import Conversation, Message, Surface
from runtime import events, models, runs
from runtime.llm import script
from tests import councils

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>"
    "[a](javascript:alert(1)) \u202etxt.exe {{ 7 }} {% now %}"
)


@pytest.fixture(autouse=True)
def _shipped(shipped_blueprints):
    pass


@pytest.fixture
def page(client, alice):
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def say(alice, drain):
    """Say something as alice, and let it be answered."""

    def post(text="What now?", *, to=None, works=True, **more):
        posted = conversations.post(alice, text=text, conversation_id=to, **more)
        if works:
            drain()
            conversations.settle(posted.message.conversation_id)
            drain()
        return posted

    return post


def add_agent(*edges, slug="liaison.test", name="Test", **more):
    blueprint = models.Blueprint.objects.create(name="A council")
    document = councils.document(*edges, **more)
    blueprint.versions.create(number=1, document=document)
    return models.Agent.objects.create(slug=slug, name=name, blueprint=blueprint)


def fill(conversation, how_many):
    """Turns that nobody worked on: each of a message, and a reply that failed."""
    for _ in range(how_many):
        number = conversation.last_number + 1
        said = Message.objects.create(
            conversation=conversation,
            number=number,
            role="user",
            text=f"Message {number}",
            sender=conversation.user,
        )
        Message.objects.create(
            conversation=conversation,
            number=number + 1,
            role="agent",
            answers=said,
            agent_slug="guide.general",
            routed_by="default",
            run=runs.create(
                topic="x", version=models.Agent.objects.first().blueprint.newest, owner=None
            ),
            settled_at=said.created_at,
        )
        conversation.last_number = number + 1
    conversation.save()


def path_of(posted, part=""):
    return f"/conversations/{posted.message.conversation_id}/{part}"


def text_of(page, path):
    answer = page.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def plain(html):
    """What one reads of it."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split()).replace("&#x27;", "'")


def said_on(page, path):
    return re.findall(r'words" dir="auto">(.*?)</p>', text_of(page, path))


def listed(page, query=""):
    return [row.begins for row in page.get(f"/conversations/{query}").context["rows"]]


# --- whose it is -----------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "earlier/?before=9", f"turns/{uuid.UUID(int=1)}/"])
def test_who_is_not_signed_in_is_led_to_sign_in(client, say, part):
    path = path_of(say(works=False), part)

    assert client.get(path)["Location"].startswith("/accounts/sign-in/?next=/conversations/")
    assert client.get("/conversations/").status_code == 302


def test_nobody_else_finds_a_conversation_not_even_an_administrator(client, say, bob):
    posted = say("My secret", works=False)
    root = User.objects.create_superuser("root")
    for part in ("", "earlier/?before=9", f"turns/{posted.message.pk}/"):
        for user in (bob, root):
            client.force_login(user)
            assert client.get(path_of(posted, part)).status_code == 404, (part, user)
            assert "My secret" not in text_of(client, "/conversations/")
            assert "My secret" not in text_of(client, "/conversations/?q=secret")


def test_a_message_is_found_in_its_own_conversation_only(page, say):
    one, other = say(works=False), say(works=False)

    assert page.get(path_of(one, f"turns/{other.message.pk}/")).status_code == 404
    assert page.get(path_of(one, f"turns/{one.reply.pk}/")).status_code == 404
    assert page.get(path_of(one, f"turns/{one.message.pk}/")).status_code == 200


def test_the_pages_change_nothing(page, say):
    for path in ("/conversations/", path_of(say(works=False))):
        assert page.post(path).status_code == 405


# --- the list --------------------------------------------------------------------------


def test_without_conversations_it_says_what_will_be_here(page):
    html = text_of(page, "/conversations/")

    assert "will be here" in html
    assert 'name="q"' not in html
    assert html.count('class="primary"') == 1


def test_the_last_used_comes_first_with_what_there_is_to_know(page, say):
    first = say("First", surface="insights_pillar")
    say("Second")
    say("Third")
    say("And on", to=first.message.conversation_id)
    say("Fourth", works=False)

    rows = page.get("/conversations/").context["rows"]

    assert [row.begins for row in rows] == ["Fourth", "First", "Third", "Second"]
    html = plain(text_of(page, "/conversations/"))
    assert re.search(r"answered First Insights insights_pillar 4 ", html)
    assert "answering Fourth" in html


def test_a_conversation_in_which_nothing_was_said_has_a_place_too(page, alice):
    conversations.begin(alice)

    assert "nothing said yet" in text_of(page, "/conversations/")
    assert "Write the first message" in text_of(
        page, f"/conversations/{Conversation.objects.get().pk}/"
    )


def test_what_either_said_can_be_searched(page, say):
    say("About Ångström units")
    say("Nothing else", works=False)

    assert listed(page, "?q=ångSTRÖM") == ["About Ångström units"]
    assert listed(page, "?q=decision+or+a+plan") == ["About Ångström units"], "an agent said it"
    assert "In no conversation was this said" in text_of(page, "/conversations/?q=%00%ED%A0%80")


def test_the_list_has_pages_that_keep_the_search(page, alice, say):
    for number in range(26):
        conversation = conversations.begin(alice)
        Message.objects.create(
            conversation=conversation,
            number=1,
            role="user",
            sender=alice,
            text=f"Talk {number:02}",
        )
    assert len(listed(page)) == 25
    assert listed(page, "?q=talk&page=2") == ["Talk 00"]
    assert 'href="?q=talk&amp;page=2"' in text_of(page, "/conversations/?q=talk")


def test_a_longer_list_needs_no_more_queries(page, say):
    say()
    with CaptureQueriesContext(connection) as few:
        text_of(page, "/conversations/")
    say()
    say(works=False)
    with CaptureQueriesContext(connection) as many:
        text_of(page, "/conversations/")

    assert len(many) == len(few) <= 10


def test_the_box_offers_the_surfaces_and_only_the_agents_that_one_may_ask_for(page, say):
    models.Agent.objects.filter(slug="liaison.journey").update(enabled=False)
    html = text_of(page, "/conversations/")

    assert "insights_pillar → Insights" in html
    assert 'value="liaison.content"' in html
    assert 'value="liaison.journey"' not in html


# --- a turn ----------------------------------------------------------------------------


def test_each_answer_is_headed_by_who_gave_it_and_why(page, say):
    first = say("Good morning")
    to = first.message.conversation_id
    say("And now?", to=to)
    say("Numbers!", to=to, surface="outcomes_pillar")
    say("You there", to=to, agent="liaison.journey")

    html = plain(text_of(page, path_of(first)))

    assert "Guide guide.general , by default" in html
    assert "Guide guide.general , as before" in html
    assert "You on outcomes_pillar" in html
    assert "Outcomes liaison.outcomes , because of the surface" in html
    assert "Journey liaison.journey , as you asked" in html
    assert html.count("scripted demo model: no AI wrote this") == 4
    assert re.search(r"Show the run scripted .*? \d+ tokens, \$0 demo:council", html)


def test_a_hand_over_is_a_line_and_both_runs_are_a_click_away(page, say):
    posted = say("What are the insights?")
    html = text_of(page, path_of(posted))
    shown = plain(html)

    assert "→ Guide , by default, hands over to Insights : [Scripted" in shown
    assert "Insights liaison.insights , by the hand-over" in shown
    for reply in Message.objects.filter(role="agent"):
        assert f'href="/runs/{reply.run_id}/"' in html
    assert html.count('<article class="answer">') == 2, "one of them is the script's template"


def test_an_answer_is_markdown_and_a_message_is_as_it_was_typed(page, say, monkeypatch):
    monkeypatch.setitem(script._TEXTS, "answer", lambda asked: "It is **strong**.")
    posted = say("**not strong**\nsecond line", agent="liaison.insights")
    html = text_of(page, path_of(posted))

    assert "<strong>strong</strong>" in html
    assert "**not strong**\nsecond line" in html


def test_of_a_council_it_says_what_came_of_it(page, say):
    html = plain(text_of(page, path_of(say("A page", surface="content_pillar"))))

    assert "approved by the critic last score 8.5 / 10" in html


def test_an_answer_that_is_not_approved_says_so(page, say):
    add_agent("d > k", "k revise> d", "k approve> w", k={"threshold": 9.9, "maxIterations": 1})

    html = plain(text_of(page, path_of(say(agent="liaison.test"))))

    assert "Stopped at the limit, not approved." in html


def test_a_failure_says_what_happened_and_can_be_sent_again_as_it_was(page, say, settings):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", "http://127.0.0.1:1/v1"
    settings.MODEL_MAX_TRIES = 1
    agent = add_agent("a")
    document = agent.blueprint.newest.document
    document["nodes"][0]["model"] = "openai:none"
    agent.blueprint.versions.create(number=2, document=document)
    posted = say("Hello?", agent="liaison.test", surface="content_pillar")

    html = text_of(page, path_of(posted))

    assert "Failed: The provider of openai:none cannot be reached." in plain(html)
    assert f'data-again="{posted.message.pk}"' in html
    assert 'data-surface="content_pillar" data-agent="liaison.test"' in html


def begun(run, *texts):
    """Let a run have written this, without having finished."""
    node = run.blueprint_version.document["nodes"][0]
    about = {"node": node["id"], "task": "1", "kind": node["kind"]}
    with transaction.atomic():
        run = models.Run.objects.select_for_update().get(pk=run.pk)
        events.append(run, "node.started", key="1", iteration=1, model="", **about)
        for number, text in enumerate(texts):
            events.append(run, "node.token", key=f"t{number}", text=text, **about)


def test_a_cancelled_answer_keeps_what_it_had_written(page, say, alice):
    posted = say(works=False)
    begun(posted.reply.run, "Half ", "a 👍 sent")
    conversations.cancel(posted.reply.run, by="alice")

    html = plain(text_of(page, path_of(posted)))

    assert "Half a 👍 sent" in html
    assert "Cancelled by alice. What was written until then is kept." in html
    assert "Send again" in html


def test_an_answer_under_way_can_be_read_without_a_script(page, say):
    posted = say(works=False)
    begun(posted.reply.run, "Half ", "a sentence")

    html = text_of(page, path_of(posted))

    assert "Half a sentence" in plain(html)
    assert " data-live>" in html
    assert "data-again" not in html


def test_what_a_gate_asks_is_shown_with_the_way_to_its_run(page, say):
    add_agent("d > w", w={"gateBefore": {"ask": "May it be polished?"}})
    posted = say(agent="liaison.test")

    html = text_of(page, path_of(posted))

    assert "May it be polished?" in html
    assert "deserves a careful answer" in html, "the proposal"
    assert (
        f'<a href="/runs/{posted.reply.run_id}/">Answer it on the page of its run</a>' in html
    )


def test_where_no_run_holds_the_answer_any_more_it_says_so(page, say):
    posted = say()
    models.Run.objects.all().delete()

    html = plain(text_of(page, path_of(posted)))

    assert "Failed: The run that held the answer was deleted." in html
    assert "Show the run" not in html.partition("Send again")[0]


def test_hostile_texts_are_shown_and_harm_nobody(page, say, monkeypatch):
    monkeypatch.setitem(script._TEXTS, "answer", lambda asked: HOSTILE)
    agent = models.Agent.objects.get(slug="liaison.insights")
    agent.name = HOSTILE[:200]
    agent.save()
    Surface.objects.create(slug="odd", agent=agent)
    posted = say(HOSTILE, surface=HOSTILE[:100], client_id=HOSTILE, agent="liaison.insights")
    for path in ("/conversations/", path_of(posted)):
        answer = page.get(path)
        html = answer.content.decode()

        for harm in ("<script>alert", "<img", "<svg onload", 'href="javascript:'):
            assert harm not in html, (path, harm)
        assert "&lt;script&gt;alert(1)" in html
        assert "'unsafe-inline'" not in answer["Content-Security-Policy"]


# --- a page of turns -------------------------------------------------------------------


@pytest.fixture
def long(alice):
    """A conversation of 45 turns: messages 1, 3 … 89."""
    conversation = conversations.begin(alice)
    fill(conversation, 45)
    return f"/conversations/{conversation.pk}/"


def test_one_sees_the_latest_turns_and_the_way_to_earlier_ones(page, long):
    said = said_on(page, long)

    assert said == [f"Message {number}" for number in range(51, 90, 2)]
    assert 'href="?from=11"' in text_of(page, long)


def test_the_turns_before_come_in_pages_to_the_first(page, long):
    second = text_of(page, f"{long}earlier/?before=51")
    third = said_on(page, f"{long}earlier/?before=11")

    assert re.findall(r"Message \d+", second) == [f"Message {n}" for n in range(11, 51, 2)]
    assert 'data-before="1"' in second
    assert third == ["Message 1", "Message 3", "Message 5", "Message 7", "Message 9"]
    assert 'data-before=""' in text_of(page, f"{long}earlier/?before=11")


@pytest.mark.parametrize("before", ["", "x", "-1", "9" * 30, "²"])
def test_before_what_is_no_number_there_is_nothing(page, long, before):
    assert page.get(f"{long}earlier/", {"before": before}).status_code == 404


def test_the_address_can_ask_for_more_turns_up_to_what_a_page_holds(page, long, monkeypatch):
    assert said_on(page, f"{long}?from=31")[0] == "Message 31"
    assert len(said_on(page, f"{long}?from=89")) == turn.PAGE
    assert len(said_on(page, f"{long}?from=nonsense")) == turn.PAGE

    monkeypatch.setattr(turn, "MOST", 30)

    assert len(said_on(page, f"{long}?from=1")) == 30


def test_more_turns_need_no_more_queries(page, long):
    with CaptureQueriesContext(connection) as few:
        text_of(page, long)
    with CaptureQueriesContext(connection) as many:
        text_of(page, f"{long}?from=1")

    assert len(many) == len(few) <= 14


def test_the_script_is_told_all_of_what_is_under_way_and_nothing_before(page, say):
    def data():
        html = text_of(page, path_of(first))
        found = re.search(r'<script id="talk-data"[^>]*>(.*?)</script>', html, re.S)
        return json.loads(found[1])

    first = say()
    assert data()["after"] == 3 * data()["span"], "what comes next"

    say("And?", to=first.message.conversation_id, works=False)
    assert data()["after"] == 3 * data()["span"], "the message under way, from its first answer"


# --- the page of a run -----------------------------------------------------------------


def test_a_run_leads_back_to_the_message_it_answers(page, say, client):
    first = say()
    second = say("And on", to=first.message.conversation_id)
    link = f'href="{path_of(second)}?from=3#turn-3"'
    assert link in text_of(page, f"/runs/{second.reply.run_id}/")

    client.force_login(User.objects.create_superuser("root"))
    assert "/conversations/" + str(second.message.conversation_id) not in text_of(
        client, f"/runs/{second.reply.run_id}/"
    )
