"""A run as a document: its whole story, as Markdown to be read or as JSON to be worked with.

Both are folds over the log. Text from models and people stands in fences longer than any in
it, or on one line with every mark escaped, so that it cannot break the document.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from experience import outcomes, story
from runtime import events, models

FORMAT = 1
_MARKS = re.compile(r"([\\`*_\[\]<>|#~&$!])")
# The texts among what a node puts out, in the order they are shown.
_TEXTS = ("draft", "review", "feedback", "reason", "dissent")


def as_json(run: models.Run) -> dict[str, Any]:
    """The run and its whole log; for a fork also the reused part of its parents' logs, each
    event with the run that it happened in and `reused`."""
    version = run.blueprint_version
    log = story.of(run)
    return {
        "format": FORMAT,
        "run": {
            "id": str(run.pk),
            "input_topic": run.input_topic,
            "status": run.status,
            "reason": run.reason,
            "approved": run.approved,
            "final_draft": run.final_draft,
            "current_draft": run.current_draft,
            "draft_cut": run.draft_cut,
            "handoff": run.handoff,
            "critic_score": run.critic_score,
            "iteration_count": run.iteration_count,
            "error_code": run.error_code,
            "error_message": run.error_message,
            "members": run.members,
            "usage": run.usage,
            "owner": run.owner.get_username() if run.owner else None,
            "model": run.model,
            "god_mode": run.god_mode,
            "limits": run.limits,
            "overrides": run.overrides,
            "context": run.context,
            "handoffs": run.handoffs,
            "parent": str(run.parent_id) if run.parent_id else None,
            "parent_seq": run.parent_seq,
            "retries": run.retries,
            "created_at": events.stamp(run.created_at),
            "ended_at": run.ended_at and events.stamp(run.ended_at),
        },
        "blueprint": {
            "id": str(version.blueprint_id),
            "name": version.blueprint.name,
            "version": version.number,
            "document": version.document,
        },
        "events": [
            {"run_id": str(event.run_id), "reused": reused, **event.as_json()}
            for event, reused in log
        ],
    }


# --- Markdown --------------------------------------------------------------------------


def as_markdown(run: models.Run) -> str:
    """The run as a report: topic, result and how far to trust it, members, scores, dissent,
    every draft and review, what people decided, what it cost, and where it came from."""
    told = story.of(run)
    log = [each.event for each in told]
    parts = [
        [f"# Council run {run.pk}", "## Topic", fence(run.input_topic)],
        _result(run, story.end([each.event for each in told if not each.reused])),
        _about(run, told),
        _members(log),
        _scores(log),
        _dissent(log),
        _gates(log),
        _happenings(log),
        _steps(told),
    ]
    return "\n\n".join(block for part in parts for block in part) + "\n"


def _result(run: models.Run, end: events.Logged | None) -> Iterator[str]:
    yield "## Result"
    sentence = outcomes.sentence(end) if end else f"{run.status}; it has not ended yet"
    yield f"**{plain(sentence)}**"
    if end is not None and end.kind == "run.completed":
        if outcomes.handed_over(end.data):
            yield "It handed over because:"
            yield fence(end.data["handoff"]["reason"])
        if end.data["final_draft"] or not outcomes.handed_over(end.data):
            yield fence(end.data["final_draft"])
        yield table(("", ""), outcomes.facts(end))
        return
    if run.current_draft:
        yield "There is no result. The last draft was:"
        yield fence(run.current_draft)
    yield table(("", ""), outcomes.spent(run.usage or events.total_usage(run.pk)))


def _about(run: models.Run, told: Sequence[story.Told]) -> Iterator[str]:
    version = run.blueprint_version
    rows = [
        ("blueprint", f"{version.blueprint.name}, version {version.number}"),
        ("model of nodes without one", run.model),
        ("owner", str(run.owner or "nobody")),
        ("created", events.stamp(run.created_at)),
    ]
    if run.ended_at:
        rows.append(("ended", events.stamp(run.ended_at)))
    if run.god_mode:
        rows.append(("gates", "before every node"))
    if run.context:
        rows.append(("told of earlier runs", ", ".join(run.context)))
    rows += [(f"limit of {name}", str(value)) for name, value in run.limits.items()]
    rows += [
        (f"changed in {node}", ", ".join(f"{k}: {v}" for k, v in changes.items()))
        for node, changes in run.overrides.items()
    ]
    rows += _parent(run, told)
    yield "## About this run"
    yield table(("", ""), rows)


def _parent(run: models.Run, told: Sequence[story.Told]) -> Iterator[tuple[str, str]]:
    if run.parent_seq is None:
        return
    yield "fork of", str(run.parent_id or "a run that was deleted")
    reused = [e for e, is_reused in told if is_reused and e.kind == "node.completed"]
    if not reused:
        yield "reused", "nothing that is still there" if run.parent_seq else "nothing"
        return
    yield "reused", f"{len(reused)} steps, up to event {run.parent_seq}"
    costs = [event.data["usage"]["cost"] for event in reused]
    total = None if None in costs else sum(map(float, costs))
    yield "cost of what is reused", f"{outcomes.money(total)}, paid by the parent"


def _members(log: Iterable[events.Logged]) -> Iterator[str]:
    """Every node that spoke or failed, with its models; who was missing, and why."""
    models_of: dict[tuple[str, str], dict[str, None]] = {}
    absent: dict[str, str] = {}
    for event in log:
        data = event.data
        if event.kind == "node.completed":
            models_of.setdefault((data["node"], data["kind"]), {})[data["model"]] = None
            absent.pop(data["node"], None)
        elif event.kind == "node.failed":
            models_of.setdefault((data["node"], data["kind"]), {})
            absent[data["node"]] = data["message"]
    if not models_of:
        return
    yield "## Members"
    rows = [
        (node, kind, ", ".join(filter(None, used)), _presence(node, absent))
        for (node, kind), used in models_of.items()
    ]
    yield table(("node", "kind", "models", ""), rows)


def _presence(node: str, absent: Mapping[str, str]) -> str:
    return f"missing: {absent[node]}" if node in absent else "took part"


def _scores(log: Iterable[events.Logged]) -> Iterator[str]:
    rows = [
        (
            str(event.data["iteration"]),
            event.data["node"],
            f"{event.data['score']:g} / 10",
            event.data["output"].get("decision", ""),
        )
        for event in log
        if event.kind == "node.completed" and event.data["score"] is not None
    ]
    if rows:
        yield "## Scores"
        yield table(("round", "critic", "score", "decision"), rows)


def _dissent(log: Iterable[events.Logged]) -> Iterator[str]:
    done = [event.data for event in log if event.kind == "node.completed"]
    joined = [data for data in done if "dissent" in data["output"]]
    if joined:
        yield "## Dissent"
        yield fence(joined[-1]["output"]["dissent"] or "None was stated.")


def _gates(log: Iterable[events.Logged]) -> Iterator[str]:
    found = [event for event in log if event.kind == "gate.opened"]
    answers = {e.data["gate"]: e for e in log if e.kind == "gate.answered"}
    if found:
        yield "## Gates"
    for number, event in enumerate(found, 1):
        data = event.data
        yield f"### Gate {number}: {plain(data['node'])}, {plain(data['place'])}"
        asked = " ".join(filter(None, (data["why"], data["ask"])))
        yield f"Asked at {events.stamp(event.at)}: {plain(asked)}"
        yield from _answer(answers.get(data["gate"]))


def _answer(event: events.Logged | None) -> Iterator[str]:
    if event is None:
        yield "No answer is in this log."
        return
    data = event.data
    done = outcomes.done(data).capitalize()
    yield f"{done} by **{plain(data['by'])}** at {events.stamp(event.at)}."
    for name, value in data["answer"].items():
        yield f"{plain(name.replace('_', ' ').capitalize())}:"
        yield fence(str(value))


def _happenings(log: Iterable[events.Logged]) -> Iterator[str]:
    told = [f"- {events.stamp(e.at)}: {plain(line)}" for e in log if (line := _happened(e))]
    if told:
        yield "## What went otherwise"
        yield "\n".join(told)


def _happened(event: events.Logged) -> str:
    data = event.data
    match event.kind:
        case "node.failed":
            return f"without {data['node']}: {data['message']}"
        case "node.retried":
            return f"{data['node']} tried again: {data['message']}"
        case "node.stopped":
            return f"{data['node']} stopped at {outcomes.limit(data['limit'])}"
        case "run.interrupted":
            return "interrupted; another worker took it up"
        case "run.failed":
            return outcomes.sentence(event)
        case "run.retried":
            return f"retried by {data['by']}"
    return ""


def _steps(told: Iterable[story.Told]) -> Iterator[str]:
    done = [each for each in told if each.event.kind == "node.completed"]
    if done:
        yield "## Every step"
    for event, reused in done:
        data = event.data
        seconds = f"{data['duration_ms'] / 1000:.1f} s"
        yield f"### {event.seq}: {plain(data['node'])}, round {data['iteration']}"
        if reused:
            yield f"Reused from run {event.run_id}."
        yield plain(f"{data['kind']} · {data['model'] or 'no model'} · {seconds}") + _usage(
            data
        )
        yield from _output(data["output"])


def _usage(data: Mapping[str, Any]) -> str:
    usage = data["usage"]
    tokens = [usage["input_tokens"], usage["output_tokens"]]
    read, written = ("unknown" if each is None else str(each) for each in tokens)
    cost = plain(outcomes.money(usage["cost"]))
    notes = " · scripted demo model" if data["scripted"] else ""
    notes += " · cut off at its token limit" if data.get("cut") else ""
    return f" · {usage['calls']} calls · tokens {read} in, {written} out · {cost}{notes}"


def _output(output: Mapping[str, Any]) -> Iterator[str]:
    told = {name: v for name, v in output.items() if name not in _TEXTS and v not in ("", None)}
    facts = [(name, written) for name, v in told.items() if (written := _written(v))]
    if facts:
        yield table(("", ""), facts)
    for name in _TEXTS:
        if text := output.get(name):
            yield f"{name.capitalize()}:"
            yield fence(str(text))


# --- text that cannot break out --------------------------------------------------------


def fence(text: str) -> str:
    """The text as it is, in a fence that nothing in it can close."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}text\n{text}\n{marks}"


def plain(text: str) -> str:
    """The text on one line, with nothing in it that Markdown takes for a mark."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _written(value: Any) -> str:
    """A value in words; empty for what is too deep for a cell: its text stands below."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_written(each) or 'none'}" for name, each in value.items())
    if isinstance(value, list):
        flat = all(isinstance(each, str | int | float) for each in value)
        return ", ".join(map(str, value)) if flat else ""
    return str(value)
