"""The reader's conversations: the list of them, and the page of each.

What has ended the server renders, turn by turn; what is being answered the page hears from
the agent socket, and asks for the turn anew at its end. Nobody sees another's conversation,
administrators neither.
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experience import access, models, routing
from experience.dashboard.conversations import listing, turn
from experience.replies import position
from runtime import runs


def _find(request: HttpRequest, conversation_id: UUID) -> models.Conversation:
    """One of the reader's own. Somebody else's is not found (Http404)."""
    try:
        return access.find_conversation(request.user, conversation_id)
    except access.ConversationNotFound as error:
        raise Http404(str(error)) from error


# --- the list --------------------------------------------------------------------------


@never_cache
@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """A page of the reader's conversations, the last changed first, and the box that begins a
    new one. `?q=` searches in what was said; `?page=`."""
    found = listing.of(request.user, request.GET)
    return render(request, "dashboard/conversations.html", found | _box(request.user))


def _box(user: Any) -> dict[str, Any]:
    """What the box for a message offers: the agents to ask for, and the surfaces."""
    surfaces = models.Surface.objects.select_related("agent").order_by("slug")
    return {
        "agents": access.agents_of(user),
        "surfaces": surfaces,
        "longest": runs.LONGEST_TOPIC,
    }


# --- a conversation --------------------------------------------------------------------


@never_cache
@login_required
@require_safe
def talk(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """One conversation: its latest turns; with `?from=` those since the message of that
    number, as far as one page holds them."""
    conversation = _find(request, conversation_id)
    shown = turn.latest(conversation, since=_number(request.GET.get("from", "")))
    box = _box(request.user)
    live = [each for each in shown.turns if each.is_live]
    # From here on the page's script is told what happens: all of what is under way.
    after = live[0].message.number if live else conversation.last_number + 1
    context = {
        "conversation": conversation,
        "title": turn.title(conversation),
        "shown": shown,
        "path": f"/api/conversations/{conversation.pk}/messages",
        "data": {
            "conversation": str(conversation.pk),
            "after": position(after),
            "span": position(1),
            "why": routing.WHY,
            "names": {agent.slug: agent.name for agent in box["agents"]},
        },
    }
    return render(request, "dashboard/conversation.html", context | box)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


@never_cache
@login_required
@require_safe
def show_turn(request: HttpRequest, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """One message of the reader's, with what has come of it so far."""
    found = turn.find(_find(request, conversation_id), message_id)
    if found is None:
        raise Http404("There is no such message.")
    return render(request, "dashboard/conversation_turn.html", {"turn": found})


@never_cache
@login_required
@require_safe
def show_earlier(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """The turns before `?before=` (a number), a page of them."""
    before = _number(request.GET.get("before", ""))
    if before is None:
        raise Http404("Before which message?")
    shown = turn.earlier(_find(request, conversation_id), before)
    return render(request, "dashboard/conversation_turns.html", {"shown": shown})


urlpatterns = [
    path("", talk, name="conversation"),
    path("turns/<uuid:message_id>/", show_turn, name="conversation-turn"),
    path("earlier/", show_earlier, name="conversation-earlier"),
]
