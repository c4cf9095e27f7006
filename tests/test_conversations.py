"""A message is stored, routed and answered once, whatever happens meanwhile."""

import asyncio

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from experience import access, conversations
from experience.models import Conversation, Message, Surface
from runtime import errors, models, runs, tasks
from tests.conftest import at_once


@pytest.fixture(autouse=True)
def _shipped(shipped_blueprints):
    pass


def post(user, text="What now?", **more):
    return conversations.post(user, text=text, **more)


def replies(conversation):
    found = Message.objects.filter(conversation=conversation, role="agent").order_by("number")
    return list(found.select_related("run"))


def in_line(posted, text="And then?", **more):
    """The next message of the same conversation."""
    return post(
        posted.message.sender, text, conversation_id=posted.message.conversation_id, **more
    )


# --- posting ---------------------------------------------------------------------------


def test_a_message_its_reply_and_the_run_are_stored_together(alice):
    posted = post(alice, surface="insights_pillar", project_id="p1")

    conversation = Conversation.objects.get()
    assert (posted.message.number, posted.reply.number) == (1, 2)
    assert conversation.last_number == 2
    assert (conversation.project_id, conversation.surface) == ("p1", "insights_pillar")
    assert (posted.reply.agent_slug, posted.reply.routed_by) == ("liaison.insights", "surface")
    assert posted.reply.run.input_topic == "What now?"
    assert posted.reply.run.owner == alice


def test_a_message_that_cannot_be_answered_is_not_stored(alice, settings):
    settings.DEFAULT_MODEL = "openai:gpt-4o"

    with pytest.raises(errors.ModelNotConfigured):
        post(alice)

    assert not Conversation.objects.exists()
    assert not models.Run.objects.exists()


@pytest.mark.parametrize("text", ["", "  \n "])
def test_a_message_without_a_text_is_refused(alice, text):
    with pytest.raises(errors.InputInvalid):
        post(alice, text)


def test_a_message_of_more_than_ten_thousand_characters_is_too_large(alice):
    post(alice, "x" * 10_000)
    with pytest.raises(conversations.MessageTooLarge):
        post(alice, "x" * 10_001)


def test_while_an_agent_answers_the_next_message_is_refused_and_can_be_sent_again(alice, drain):
    first = post(alice)
    with pytest.raises(conversations.ConversationBusy) as refused:
        in_line(first, client_id="2")
    drain()

    second = in_line(first, client_id="2")

    assert refused.value.detail["run_id"] == str(first.reply.run_id)
    assert second.is_new
    assert second.message.number == 3


async def test_of_many_messages_at_once_in_one_conversation_one_is_taken(alice, drain):
    first = await asyncio.to_thread(_posted_and_answered, alice)

    outcomes = await at_once(*[lambda: in_line(first)] * 10)

    refused = [each for each in outcomes if isinstance(each, conversations.ConversationBusy)]
    assert len(refused) == 9
    assert await models.Run.objects.acount() == 2


def _posted_and_answered(user):
    try:
        posted = post(user)
        runs.cancel(posted.reply.run_id, by="alice")
        return posted
    finally:
        connection.close()


# --- sent again ------------------------------------------------------------------------


def test_the_same_id_acts_once_and_is_answered_the_same(alice):
    first = post(alice, client_id="1")
    again = post(alice, client_id="1")

    assert (first.is_new, again.is_new) == (True, False)
    assert again.reply.pk == first.reply.pk
    assert models.Run.objects.count() == 1


async def test_the_same_id_sent_many_times_at_once_acts_once(alice):
    outcomes = await at_once(*[lambda: post(alice, client_id="1")] * 10)

    assert len({each.reply.pk for each in outcomes}) == 1
    assert [each.is_new for each in outcomes].count(True) == 1
    assert await Conversation.objects.acount() == 1


def test_the_same_id_with_another_text_is_refused(alice):
    post(alice, client_id="1")
    with pytest.raises(conversations.MessageConflict):
        post(alice, "Something else", client_id="1")


def test_two_users_may_use_the_same_id(alice, bob):
    assert post(alice, client_id="1").reply.pk != post(bob, client_id="1").reply.pk


# --- whose -----------------------------------------------------------------------------


def test_somebody_elses_conversation_is_not_found_not_even_by_an_administrator(alice, bob):
    hers = post(alice).message.conversation_id
    root = User.objects.create_superuser("root")

    for other in (bob, root):
        with pytest.raises(access.ConversationNotFound):
            post(other, conversation_id=hers)


def test_a_conversation_stays_in_its_project(alice, drain):
    first = post(alice, project_id="p1")
    drain()

    with pytest.raises(conversations.ProjectConflict):
        in_line(first, project_id="p2")


def test_an_agent_limited_to_a_group_answers_its_members_only(alice, bob):
    group = Group.objects.create(name="analysts")
    models.Agent.objects.get(slug="liaison.insights").groups.add(group)
    alice.groups.add(group)

    assert post(alice, agent="liaison.insights").reply.routed_by == "asked"
    with pytest.raises(access.AgentNotYours):
        post(bob, agent="liaison.insights")
    # From its surface he gets the guide.
    assert post(bob, surface="insights_pillar").reply.agent_slug == "guide.general"


def test_an_agent_that_there_is_not_or_is_switched_off_is_refused_by_name(alice):
    models.Agent.objects.filter(slug="liaison.journey").update(enabled=False)

    for slug in ("liaison.journey", "liaison.nothing"):
        with pytest.raises(access.AgentNotFound) as refused:
            post(alice, agent=slug)
        assert refused.value.detail["agent"] == slug


# --- routing ---------------------------------------------------------------------------


def test_an_unknown_surface_is_logged_and_goes_to_the_guide(alice, caplog):
    caplog.set_level("INFO", "experience.conversations")

    reply = post(alice, surface="nowhere").reply

    assert (reply.agent_slug, reply.routed_by) == ("guide.general", "default")
    assert "a surface is unknown" in caplog.text


def test_the_surface_table_is_data(alice):
    agent = models.Agent.objects.get(slug="council.default")
    Surface.objects.create(slug="workshop", agent=agent)

    assert post(alice, surface="workshop").reply.agent_slug == "council.default"


def test_a_change_of_surface_leaves_the_agent_and_the_history_stays(alice, drain):
    first = post(alice, "First", surface="content_pillar")
    drain()
    second = in_line(first, "Second", surface="insights_pillar")
    drain()
    third = in_line(first, "Third")

    assert [each.agent_slug for each in replies(first.message.conversation)] == [
        "liaison.content",
        "liaison.insights",
        "liaison.insights",
    ]
    assert third.reply.run.context == [str(first.reply.run_id), str(second.reply.run_id)]


# --- after a run -----------------------------------------------------------------------


def test_a_guide_hands_over_and_the_liaison_answers_the_same_message(alice, drain):
    posted = post(alice, "What do the insights of our survey say?")
    drain()

    conversations.settle(posted.message.conversation_id)

    guide, liaison = replies(posted.message.conversation)
    assert guide.run.handoff["to"] == "liaison.insights"
    assert (liaison.agent_slug, liaison.routed_by) == ("liaison.insights", "handoff")
    assert liaison.answers == posted.message
    assert liaison.run.input_topic == posted.message.text
    assert Conversation.objects.get().agent.slug == "liaison.insights"


async def test_many_that_settle_at_once_hand_over_once(alice):
    def answered():
        posted = post(alice, "What do the insights of our survey say?")
        asyncio.run(tasks.work(wait=False))
        connection.close()
        return posted.message.conversation_id

    conversation_id = await asyncio.to_thread(answered)

    await at_once(*[lambda: conversations.settle(conversation_id)] * 10)

    assert await models.Run.objects.acount() == 2


def test_what_a_dead_server_did_not_settle_a_worker_does(alice, drain):
    posted = post(alice, "What do the insights of our survey say?")
    drain()

    conversations.settle_due()

    assert len(replies(posted.message.conversation)) == 2


def test_a_message_is_handed_over_at_most_twice(alice, drain):
    posted = post(alice, "The insights of the journey of our content?")
    for _ in range(5):
        drain()
        conversations.settle(posted.message.conversation_id)
    guide = models.Agent.objects.get(slug="guide.general")
    models.Agent.objects.filter(slug__startswith="liaison.").update(blueprint=guide.blueprint)
    again = in_line(posted, "The insights of the journey of our content?", agent=guide.slug)
    for _ in range(5):
        drain()
        conversations.settle(posted.message.conversation_id)

    found = Message.objects.filter(answers=again.message).order_by("number")
    assert [bool(each.run.handoff) for each in found] == [True, True, False]
    assert found.last().run.handoffs == []
    assert found.last().run.status == "completed"


def test_a_hand_over_that_cannot_be_made_ends_the_message_with_its_reason(alice, drain):
    posted = post(alice, "What do the insights of our survey say?")
    drain()
    models.Agent.objects.filter(slug="liaison.insights").update(enabled=False)

    conversations.settle(posted.message.conversation_id)

    failed = replies(posted.message.conversation)[-1]
    assert (failed.run, failed.error_code) == (None, "agent_not_found")
    assert in_line(posted).is_new


def test_a_turn_is_kept_whatever_its_outcome_and_the_next_goes_on_from_it(alice, drain):
    first = post(alice, "First")
    runs.cancel(first.reply.run_id, by="alice")

    second = in_line(first, "Second")

    assert [each.run.status for each in replies(first.message.conversation)] == [
        "cancelled",
        "pending",
    ]
    assert second.reply.run.context == [str(first.reply.run_id)]


def test_a_run_that_handed_over_is_no_part_of_what_the_next_agent_is_told(alice, drain):
    posted = post(alice, "What do the insights of our survey say?")
    drain()
    conversations.settle(posted.message.conversation_id)
    drain()

    after = in_line(posted)

    liaison = replies(posted.message.conversation)[1]
    assert after.reply.run.context == [str(liaison.run_id)]


def test_to_cancel_a_run_that_has_handed_over_cancels_the_one_in_its_place(alice, drain):
    posted = post(alice, "What do the insights of our survey say?")
    drain()

    conversations.cancel(posted.reply.run, by="alice")

    guide, liaison = replies(posted.message.conversation)
    assert (guide.run.status, liaison.run.status) == ("completed", "cancelled")
    with pytest.raises(errors.RunFinished):
        conversations.cancel(posted.reply.run, by="alice")


def test_to_cancel_a_run_that_has_ended_touches_no_later_message(alice, drain):
    first = post(alice)
    drain()
    second = in_line(first)

    with pytest.raises(errors.RunFinished):
        conversations.cancel(first.reply.run, by="alice")

    second.reply.run.refresh_from_db()
    assert second.reply.run.status == "pending"


# --- what others would have broken -----------------------------------------------------


def test_a_fork_of_somebody_elses_run_is_not_told_their_conversation(alice, bob, drain):
    first = post(alice, "My secret is BLUEBIRD")
    drain()
    second = in_line(first, "And now?")
    drain()

    his = runs.fork(second.reply.run, owner=bob, after=0)
    hers = runs.fork(second.reply.run, owner=alice, after=0)

    assert his.context == []
    assert hers.context == [str(first.reply.run_id)]


def test_a_run_that_answers_a_message_is_not_retried(alice, drain, client, settings):
    settings.OPENAI_API_KEY, settings.MODEL_MAX_TRIES = "sk-x", 1
    settings.OPENAI_BASE_URL, settings.DEFAULT_MODEL = "http://127.0.0.1:1/v1", "openai:x"
    posted = post(alice)
    drain()
    posted.reply.run.refresh_from_db()
    headers = {"authorization": f"Bearer {access.create_token(alice, 't')}"}

    refused = client.post(
        f"/api/councils/run/{posted.reply.run_id}/retry",
        {},
        content_type="application/json",
        headers=headers,
    )

    assert posted.reply.run.status == "failed"
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "run_answers")


def test_a_hand_over_of_somebody_deactivated_costs_nothing_and_ends(alice, drain):
    posted = post(alice, "What do the insights of our survey say?")
    drain()
    User.objects.filter(pk=alice.pk).update(is_active=False)

    conversations.settle(posted.message.conversation_id)

    assert replies(posted.message.conversation)[-1].error_code == "user_inactive"
    assert models.Run.objects.count() == 1


def test_a_hand_over_that_fails_by_a_mistake_ends_and_keeps_no_other_waiting(alice, bob, drain):
    hers = post(alice, "What do the insights of our survey say?")
    his = post(bob, "What do the outcomes say?")
    drain()
    broken = models.Blueprint.objects.create(name="Without a version")
    models.Agent.objects.filter(slug="liaison.insights").update(blueprint=broken)

    conversations.settle_due()

    assert replies(hers.message.conversation)[-1].error_code == "internal"
    assert replies(his.message.conversation)[-1].agent_slug == "liaison.outcomes"


def test_an_unknown_surface_is_not_quoted_in_the_log(alice, caplog):
    caplog.set_level("INFO")
    post(alice, surface="my secret place")
    assert "my secret place" not in caplog.text
