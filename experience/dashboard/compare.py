"""Two runs side by side: how each ended, scores, drafts, what each took, and of what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experience import access, story
from experience.dashboard import changes, curve, differences, measures, prose, told
from experience.dashboard import run as pages
from runtime import errors, events, models, nodes, runs
from runtime.blueprints import document as documents

_RESULT = "result"
_DRAFTS = ("node.completed", "gate.answered")


@never_cache
@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The runs `?a=` and `?b=` (ids). `show` says which drafts stand beside each other: a
    number of the list, or the results. `?run=` twice leads there: two ticked rows do that."""
    ticked = request.GET.getlist("run")
    if len(ticked) == 2 and "a" not in request.GET:
        return redirect(_link(*ticked))
    asked = request.GET.get("a", ""), request.GET.get("b", "")
    if problem := _problem(ticked, *asked):
        return render(request, "dashboard/compare.html", {"problem": problem}, status=400)
    a, b = (_Side(letter, _find(request, id_)) for letter, id_ in zip("AB", asked, strict=True))
    about = _about(a, b, request.GET.get("show", _RESULT))
    return render(request, "dashboard/compare.html", about)


def _problem(ticked: Sequence[str], a: str, b: str) -> str:
    """What is wrong with what was asked for; empty if it can be looked up."""
    if ticked:
        return f"{len(ticked)} run{'s were' if len(ticked) != 1 else ' was'} ticked, not two."
    if not a or not b:
        return "Two runs are needed, and the address does not name both."
    if not (_is_id(a) and _is_id(b)):
        return "What the address names is no run."
    return "These are one and the same run." if UUID(a) == UUID(b) else ""


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _find(request: HttpRequest, run_id: str) -> models.Run:
    """A run that the reader may see. Somebody else's is not found (Http404)."""
    try:
        return access.find_run(request.user, UUID(run_id))
    except errors.RunNotFound as error:
        raise Http404(str(error)) from error


def _link(a: str, b: str, **more: str) -> str:
    query = QueryDict(mutable=True)
    query.update({"a": a, "b": b, **more})
    return f"{reverse('dashboard:compare')}?{query.urlencode()}"


# --- one of the two --------------------------------------------------------------------


class Draft(NamedTuple):
    round: int
    node: str
    label: str
    text: str


class _Side:
    """One of the two runs, with what of its log is compared."""

    def __init__(self, letter: str, run: models.Run) -> None:
        self.letter, self.run = letter, run
        self.state = told.state(run)
        self.usage = run.usage or events.total_usage(run.pk)
        self.document = runs.document_of(run)
        self._labels = {node.id: node.label or node.id for node in self.document.nodes}

    @cached_property
    def _log(self) -> list[events.Logged]:
        """What was finished and answered, in a fork also before it; and its ends."""
        kinds = (*_DRAFTS, *events.ENDS)
        own = self.run.events.filter(kind__in=kinds).order_by("seq")
        reused = [each for each in story.reused(self.run) if each.kind in _DRAFTS]
        return [*reused, *map(events.logged, own)]

    @property
    def outcome(self) -> str:
        """In one sentence, how it ended or that it goes on."""
        if not self.run.has_ended:
            return "Goes on: what is said here is as of now"
        end = story.end(self._log)
        return pages.told(end) if end else str(self.run.status)

    @property
    def text(self) -> str:
        return self.run.current_draft

    @property
    def is_result(self) -> bool:
        return self.run.status == models.Status.COMPLETED

    @cached_property
    def drafts(self) -> list[Draft]:
        """In their order; of a node in a round the last, which is the one it went on with."""
        found: dict[tuple[int, str], Draft] = {}
        number = 1
        for event in self._log:
            data = event.data
            if event.kind == "node.completed":
                number, text = data["iteration"], data["output"].get("draft")
            else:
                text = data["answer"].get("current_draft") if event.kind in _DRAFTS else None
            if text:
                node = data["node"]
                label = self._labels.get(node, node)
                found[number, node] = Draft(number, node, label, text)
        return list(found.values())

    @cached_property
    def curves(self) -> list[curve.Curve]:
        """The scores, one curve for each critic, in the order of the document."""
        graph = documents.graph(self.document.nodes, self.document.edges)
        unsaid = nodes.CriticSettings().threshold
        found: dict[str, dict[int, float]] = {}
        for event in self._log:
            if event.kind == "node.completed" and (score := event.data["score"]) is not None:
                found.setdefault(event.data["node"], {})[event.data["iteration"]] = score
        return [
            curve.Curve(
                self._labels[node.id], found[node.id], node.settings.get("threshold", unsaid)
            )
            for node in self.document.nodes
            if node.id in found and graph.decides(node.id) == "verdict"
        ]


# --- both ------------------------------------------------------------------------------


def _about(a: _Side, b: _Side, which: str) -> dict[str, Any]:
    changed = differences.between(a.document.as_json(), b.document.as_json())
    return {
        "sides": (a, b),
        "same_topic": a.run.input_topic == b.run.input_topic,
        "says": list(_says(a, b, changed)),
        "rows": list(measures.rows(*(measures.Taken(s.run, s.usage) for s in (a, b)))),
        "charts": curve.charts(a.curves, b.curves),
        "differences": changed if _is_same_blueprint(a, b) else None,
        **_texts(a, b, which),
    }


def _is_same_blueprint(a: _Side, b: _Side) -> bool:
    return a.run.blueprint_version.blueprint_id == b.run.blueprint_version.blueprint_id


def _says(a: _Side, b: _Side, found: differences.Differences) -> Iterator[str]:
    """What a reader must know to compare them rightly: what else they differ in."""
    one, other = a.run, b.run
    if one.input_topic != other.input_topic:
        yield "Different topics: the texts answer different questions."
    yield from _of_blueprints(a, b, found)
    if one.model != other.model:
        yield f"Different models for nodes that name none: {one.model} and {other.model}."
    if one.limits != other.limits:
        yield "Different limits."
    if one.god_mode != other.god_mode:
        yield f"{'A' if one.god_mode else 'B'} went step by step, the other on auto-pilot."
    for this, that in ((a, b), (b, a)):
        if this.run.parent_id == that.run.pk and this.run.parent_seq:
            yield (
                f"{this.letter} is a fork of {that.letter} and reuses its first steps; what "
                f"it took is told of its own steps only."
            )


def _of_blueprints(a: _Side, b: _Side, found: differences.Differences) -> Iterator[str]:
    one, other = a.run.blueprint_version, b.run.blueprint_version
    if not _is_same_blueprint(a, b):
        yield "Different blueprints."
    elif one.number != other.number:
        yield f"Different versions of one blueprint: {one.number} and {other.number}."
    elif found:
        yield "One of them was forked with changes to its nodes."


# --- texts -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Two drafts that stand beside each other; one of the two may be missing."""

    title: str
    a: Draft | None
    b: Draft | None


def _texts(a: _Side, b: _Side, which: str) -> dict[str, Any]:
    """The texts that are asked for, word by word, and what others there are."""
    pairs = list(_pairs(a, b))
    number = int(which) if which.isascii() and which.isdecimal() and len(which) < 6 else -1
    pair = pairs[number] if 0 <= number < len(pairs) else None
    texts = (
        (a.text, b.text)
        if pair is None
        else tuple(d.text if d else "" for d in (pair.a, pair.b))
    )
    words = changes.between(*texts) if all(texts) and texts[0] != texts[1] else None
    run_ids = str(a.run.pk), str(b.run.pk)
    return {
        "title": pair.title if pair else "Results",
        "pair": pair,
        "texts": [_Text(text, prose.html(text)) for text in texts],
        "words": words,
        "marked": [_marked(words.before), _marked(words.after)] if words else [],
        "is_same_text": texts[0] == texts[1] and bool(texts[0]),
        "choices": [
            ("Results", _link(*run_ids), pair is None),
            *(
                (each.title, _link(*run_ids, show=str(n)), each is pair)
                for n, each in enumerate(pairs)
            ),
        ],
    }


class _Text(NamedTuple):
    text: str
    prose: str | None


def _marked(pieces: Sequence[changes.Piece]) -> list[tuple[str, str, bool]]:
    """Space, what follows it, and whether that is to be marked: space never is."""
    found = []
    for piece in pieces:
        text = piece.text.lstrip()
        space = piece.text[: len(piece.text) - len(text)]
        found.append((space, text, piece.kind != "same"))
    return found


def _pairs(a: _Side, b: _Side) -> Iterator[Pair]:
    """The drafts of both by round: those of the same node, or in different councils those
    that came in the same place."""
    is_shared = {node.id for node in a.document.nodes} & {node.id for node in b.document.nodes}
    ones, others = (_keyed(side.drafts, bool(is_shared)) for side in (a, b))
    for key in sorted({**ones, **others}, key=lambda key: key[0]):
        one, other = ones.get(key), others.get(key)
        labels = dict.fromkeys(draft.label for draft in (one, other) if draft)
        yield Pair(f"Round {key[0]}, {' and '.join(labels)}", one, other)


def _keyed(drafts: Sequence[Draft], by_node: bool) -> dict[tuple[int, Any], Draft]:
    found: dict[tuple[int, Any], Draft] = {}
    for draft in drafts:
        place: Any = draft.node if by_node else sum(key[0] == draft.round for key in found)
        found[draft.round, place] = draft
    return found
