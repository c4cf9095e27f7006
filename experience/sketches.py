"""Blueprints in the editor that are not saved as a version: every change to one is kept.

A sketch is its user's alone, and may have faults. Each change names the revision that it was
made of, so that two tabs do not overwrite each other.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db import transaction

from experience import access, models
from runtime import blueprints, errors, events, library, runs
from runtime import models as runtime

LONGEST_NAME = 200  # of a blueprint
NEW: Mapping[str, Any] = {
    "version": 1,
    "name": "New blueprint",
    "nodes": [{"id": "draft", "label": "Draft", "kind": "draft", "position": {"x": 0, "y": 0}}],
    "edges": [],
}


class SketchChanged(errors.Refusal):
    """This sketch was changed elsewhere, in another tab perhaps. Look at what is there now."""

    code = "sketch_changed"


# --- it begins -------------------------------------------------------------------------


def begin(user: Any, document: object = NEW) -> models.Sketch:
    """A sketch of a new blueprint. One of an older format is migrated.

    Raises errors.BlueprintInvalid for what cannot be kept, as `change` does.
    """
    kept = blueprints.newest(_kept(document))
    return models.Sketch.objects.create(user_id=user.pk, document=kept)


def begin_of(user: Any, blueprint_id: UUID, *, number: int | None = None) -> models.Sketch:
    """The user's sketch of a blueprint, or a new one: of the newest version, or of an older.

    What was changed in it stays; one in which nothing was changed becomes this version. Of a
    blueprint that is not the user's to change: a sketch of a copy, each time a new one.

    Raises errors.BlueprintNotFound, errors.VersionNotFound.
    """
    blueprint = access.find_blueprint(user, blueprint_id)
    newest = library.version(blueprint)
    version = newest if number is None else library.version(blueprint, number)
    document = blueprints.newest(version.document)
    if not access.may_change(user, blueprint):
        return begin(user, _copied(document))
    # Whoever takes an older one as the start has seen that there are newer ones.
    start = {"document": document, "made_from": newest.number}
    with transaction.atomic():
        rows = models.Sketch.objects.select_for_update(of=("self",))
        sketch, is_new = rows.get_or_create(
            user_id=user.pk, blueprint=blueprint, defaults=start
        )
        if not is_new and is_untouched(sketch):
            _start_over(sketch, start)
    return sketch


def is_untouched(sketch: models.Sketch) -> bool:
    """Whether it says what a version of its blueprint says, so that nothing is lost with it."""
    blueprint = sketch.blueprint
    same = {"document": sketch.document}
    return blueprint is not None and blueprint.versions.filter(**same).exists()


def _start_over(sketch: models.Sketch, start: Mapping[str, Any]) -> None:
    if not blueprints.same(sketch.document, start["document"]):
        sketch.revision += 1  # a page that shows the other one is to notice
    sketch.document, sketch.made_from = start["document"], start["made_from"]
    sketch.save()


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "name": f"Copy of {document['name']}"[:LONGEST_NAME]}


# --- it is changed ---------------------------------------------------------------------


def change(user: Any, sketch_id: UUID, document: object, *, revision: int) -> models.Sketch:
    """Keep this document, made of that revision. The same document again changes nothing.

    One of an older format is migrated; control characters and half ones are replaced.

    Raises access.SketchNotFound, SketchChanged, and errors.BlueprintInvalid for what cannot
    be kept: no object, too deep, too large, a number that is none.
    """
    kept = blueprints.newest(_kept(document))
    with transaction.atomic():
        sketch = _lock(user, sketch_id)
        # First, so that a change whose answer was lost can be sent again.
        if blueprints.same(sketch.document, kept):
            return sketch
        _check(sketch, revision)
        sketch.document = kept
        sketch.revision += 1
        sketch.save(update_fields=["document", "revision", "updated_at"])
    return sketch


def _kept(document: object) -> dict[str, Any]:
    if fault := blueprints.unkeepable(document):
        raise errors.BlueprintInvalid(fault.message, faults=[asdict(fault)])
    cleaned: dict[str, Any] = events.clean(document)
    return cleaned


def _lock(user: Any, sketch_id: UUID) -> models.Sketch:
    """The sketch as it is now, nobody else's to change until the transaction ends."""
    rows = access.sketches_of(user).select_for_update(of=("self",))
    sketch = rows.filter(pk=sketch_id).first()
    if sketch is None:
        raise access.SketchNotFound
    return sketch


def _check(sketch: models.Sketch, revision: int) -> None:
    if sketch.revision != revision:
        raise SketchChanged(revision=sketch.revision)


# --- it comes to something -------------------------------------------------------------


def save(
    user: Any,
    sketch_id: UUID,
    *,
    revision: int,
    onto: int | None = None,
    as_new: bool = False,
) -> runtime.BlueprintVersion:
    """Save this revision as the next version of its blueprint, or as a new blueprint, and
    delete the sketch, all or nothing.

    `onto` is the number of the version that it is to follow; None: the one it was made from.

    Raises access.SketchNotFound, SketchChanged, and what `library.save` does; also
    errors.BlueprintNotFound and errors.BlueprintReadOnly where the user may no longer change
    the blueprint. Then, too, it can be saved as a new one.
    """
    with transaction.atomic():
        sketch = _lock(user, sketch_id)
        _check(sketch, revision)
        blueprint = None
        if sketch.blueprint_id and not as_new:
            blueprint = access.find_own_blueprint(user, sketch.blueprint_id)
        version = library.save(
            sketch.document,
            owner=user,
            blueprint=blueprint,
            made_from=(onto or sketch.made_from) if blueprint else None,
        )
        sketch.delete()
    return version


def try_out(
    user: Any, sketch_id: UUID, *, revision: int, topic: str, **asked: Any
) -> runtime.Run:
    """Run this revision, as a version of a blueprint that is on no list.

    `asked` is more of what `runs.create` takes: `model`, `god_mode`, `limits`,
    `idempotency_key`, `trace`.

    Raises access.SketchNotFound, SketchChanged, errors.BlueprintInvalid, and what
    `runs.create` does.
    """
    with transaction.atomic():
        sketch = _lock(user, sketch_id)
        _check(sketch, revision)
        version = library.try_out(sketch.document, owner=user, trial=sketch.trial)
        if sketch.trial_id is None:
            sketch.trial = version.blueprint
            sketch.save(update_fields=["trial"])
        return runs.create(topic=topic, version=version, owner=user, **asked)


def discard(user: Any, sketch_id: UUID) -> models.Sketch:
    """Throw it away; what it was. Raises access.SketchNotFound."""
    with transaction.atomic():
        sketch = _lock(user, sketch_id)
        sketch.delete()
    return sketch
