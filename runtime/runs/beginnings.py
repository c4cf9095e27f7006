"""A run begins: it is asked for, checked, stored and enqueued."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from runtime import blueprints, budgets, errors, events, llm, models, traces
from runtime.runs import rows

LONGEST_KEY = 200
LONGEST_TOPIC = 10_000  # characters, protocol.md §4


def create(
    *,
    topic: str,
    version: models.BlueprintVersion,
    owner: AbstractBaseUser | None,
    model: str = "",
    god_mode: bool = False,
    limits: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    context: Sequence[UUID] = (),
    handoffs: Sequence[Mapping[str, str]] = (),
    trace: str = "",
) -> models.Run:
    """Create a run and enqueue it, in one transaction.

    `model` is for the nodes that name none; empty for the default. `god_mode` puts a gate
    before every node. `limits` (iterations, seconds, calls, tokens, cost in US dollars) take
    the place of the blueprint's, each by its name. The same `idempotency_key` of the same
    owner returns the run it made before.

    `context` are earlier runs, oldest first: its nodes are told what they were asked and what
    they answered, read when the run is taken up. Whether the owner may see them is for the
    caller to know. `handoffs` (each with `to`, `name`, `description`) is to whom a guide in it
    may hand over. `trace` is the W3C traceparent of who asks.

    Raises errors.InputInvalid, errors.BlueprintInvalid, errors.LimitsInvalid,
    errors.ModelUnknown, errors.ModelNotConfigured and errors.PriceUnknown (their detail names
    the node), errors.TooManyRuns, errors.IdempotencyKeyInvalid, errors.IdempotencyConflict.
    """
    document = blueprints.parse(version.document)
    run = models.Run(
        blueprint_version=version,
        owner_id=owner.pk if owner else None,
        input_topic=cast(str, events.clean(topic)).strip(),
        model=model,
        god_mode=god_mode,
        limits={**document.stated_limits, **budgets.checked(limits or {})},
        idempotency_key=idempotency_key,
        context=[str(each) for each in context],
        handoffs=[_handoff(each) for each in handoffs],
        trace=trace,
    )
    asked = {
        "topic": run.input_topic,
        "blueprint": version.blueprint_id,
        "model": model,
        "god_mode": god_mode,
        "limits": limits or {},
        # Absent where there are none: then it is the same as before there were any.
        **({"context": run.context} if run.context else {}),
        **({"handoffs": run.handoffs} if run.handoffs else {}),
    }
    return start(run, owner, document, asked)


def _handoff(stated: Mapping[str, str]) -> dict[str, str]:
    return {name: events.clean(stated[name]) for name in ("to", "name", "description")}


def start(
    run: models.Run,
    owner: AbstractBaseUser | None,
    document: blueprints.Document,
    asked: Mapping[str, Any],
    prepare: Callable[[models.Run], None] = lambda run: None,
) -> models.Run:
    """Store a new run of a sound document and enqueue it; what `prepare` stores goes along.

    `asked` is what makes two requests the same: as it was stated, for what stands for "the
    newest" or "the last" moves. Returns the earlier run if the idempotency key has made one,
    and raises what `create` does.
    """
    if not 1 <= len(run.input_topic) <= LONGEST_TOPIC:
        raise errors.InputInvalid(length=len(run.input_topic))
    key = run.idempotency_key
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise errors.IdempotencyKeyInvalid(length=len(key))
    run.request_digest = _digest(asked)
    if key and (earlier := _made_before(owner, key, run.request_digest)):
        return earlier
    about = {"councilos.run_id": str(run.pk)}
    refusals = (errors.Refusal, IntegrityError)
    with traces.start("run.create", about, parent=run.trace, expected=refusals) as span:
        run.trace = span.traceparent
        run.model = _check_models(run, document)
        try:
            return _insert(run, owner, prepare)
        except IntegrityError:
            if key and (earlier := _made_before(owner, key, run.request_digest)):
                return earlier  # the same request, sent twice at once
            raise


def _insert(
    run: models.Run, owner: AbstractBaseUser | None, prepare: Callable[[models.Run], None]
) -> models.Run:
    with transaction.atomic():
        budgets.admit(owner)
        run.save(force_insert=True)
        events.append(
            run,
            "run.created",
            input_topic=run.input_topic,
            model=run.model,
            blueprint=run.blueprint_version.blueprint.name,
            blueprint_version=run.blueprint_version.number,
            god_mode=run.god_mode,
            limits=run.limits,
            overrides=run.overrides,
            parent=str(run.parent_id) if run.parent_id else None,
            parent_seq=run.parent_seq,
            context=run.context,
            handoffs=run.handoffs,
        )
        prepare(run)
        rows.enqueue(run)
    return run


def check_prices(run: models.Run, limits: Mapping[str, Any]) -> None:
    """Refuse a new limit on money where a model has no price. Raises errors.PriceUnknown."""
    if "cost" in limits:
        run.limits = {**run.limits, **limits}
        _check_models(run, rows.document_of(run))


def _check_models(run: models.Run, document: blueprints.Document) -> str:
    """The run's own model in full; refuses if any node's model cannot be called, or has no
    price where a limit on money holds."""
    resolved = llm.resolve(run.model)
    needs_price = budgets.needs_price(run)
    for node in document.nodes:
        for name in {node.model, str(node.settings.get("fallbackModel") or "")} - {""}:
            try:
                _check_price(llm.resolve(name), needs_price)
            except errors.Refusal as refusal:
                raise type(refusal)(f"{refusal} (node {node.id})", node=node.id) from refusal
        if not node.model:
            _check_price(resolved, needs_price)
    return resolved


def _check_price(model: str, needs_price: bool) -> None:
    if needs_price and llm.bound(model, [], max_tokens=1).cost is None:
        raise errors.PriceUnknown(model=model)


def _digest(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()


def _made_before(owner: AbstractBaseUser | None, key: str, digest: str) -> models.Run | None:
    run = models.Run.objects.filter(
        owner_id=owner.pk if owner else None, idempotency_key=key
    ).first()
    if run and run.request_digest != digest:
        raise errors.IdempotencyConflict
    return run
