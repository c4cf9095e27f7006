"""The saved blueprints: save, look up, delete. A version that was saved never changes.

Whether somebody may is asked elsewhere (`experience.access`); here nothing is lost and no two
people overwrite each other.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from runtime import blueprints, errors, models

# The server's own; what a document says of them is not kept.
_OURS = frozenset({"id", "createdAt", "updatedAt"})


def save(
    document: object,
    *,
    owner: AbstractBaseUser | None,
    blueprint: models.Blueprint | None = None,
    made_from: int | None = None,
    visibility: models.Visibility | None = None,
) -> models.BlueprintVersion:
    """Save a document as a new blueprint, or as the next version of one.

    A document that says what the newest version says makes no new one. `owner` is who saves
    it; a new blueprint is theirs, and everybody's if it is nobody's. `made_from` is the number
    of the version that the document was made from. `visibility` None leaves it as it is.

    Raises errors.BlueprintInvalid, errors.BlueprintNotFound (it was deleted),
    errors.BlueprintConflict when `made_from` is no longer the newest; its detail names that.
    """
    content = _content(document)
    with transaction.atomic():
        if blueprint is None:
            blueprint = models.Blueprint(owner_id=owner.pk if owner else None)
            visibility = visibility or _first_visibility(owner)
        else:
            blueprint = _lock(blueprint)
        version = _version(blueprint, content, owner, made_from)
        blueprint.name = version.document["name"]
        blueprint.visibility = visibility or blueprint.visibility
        blueprint.save()
        if version.pk is None:
            version.save(force_insert=True)
    return version


def try_out(
    document: object, *, owner: AbstractBaseUser, trial: models.Blueprint | None = None
) -> models.BlueprintVersion:
    """Keep a document so that it can be run, on no list: as the next version of `trial`, or of
    a new hidden blueprint.

    Raises errors.BlueprintInvalid.
    """
    with transaction.atomic():
        if trial is None:
            trial = models.Blueprint.objects.create(owner_id=owner.pk, is_trial=True)
        return save(document, owner=owner, blueprint=trial)


def _content(document: object) -> dict[str, Any]:
    """What is kept of a document: all of it as it was sent, but for what is the server's."""
    blueprints.parse(document)
    assert isinstance(document, Mapping), "what can be parsed is one"
    newest = blueprints.newest(document)
    return {name: part for name, part in newest.items() if name not in _OURS}


def _first_visibility(owner: AbstractBaseUser | None) -> models.Visibility:
    return models.Visibility.OWNER if owner else models.Visibility.EVERYONE


def _lock(blueprint: models.Blueprint) -> models.Blueprint:
    """The blueprint as it is now, nobody else's to change until the transaction ends."""
    rows = models.Blueprint.objects.select_for_update(of=("self",)).select_related("owner")
    found = rows.filter(pk=blueprint.pk, deleted_at=None).first()
    if found is None:
        raise errors.BlueprintNotFound
    return found


def _version(
    blueprint: models.Blueprint,
    content: dict[str, Any],
    by: AbstractBaseUser | None,
    made_from: int | None,
) -> models.BlueprintVersion:
    """The newest version if it says the same, else the next one, not yet written."""
    newest = None if blueprint._state.adding else blueprint.versions.order_by("-number").first()
    # First, so that a save whose answer was lost can be sent again.
    if newest and blueprints.same(newest.document, content):
        newest.blueprint = blueprint
        return newest
    number = newest.number if newest else 0
    if made_from is not None and made_from != number:
        raise errors.BlueprintConflict(newest=number)
    return models.BlueprintVersion(
        blueprint=blueprint,
        number=number + 1,
        document=content,
        created_by_id=by.pk if by else None,
    )


def delete(blueprint: models.Blueprint) -> None:
    """Take a blueprint off the lists, for good. Its runs keep their version.

    Raises errors.BlueprintInUse (its detail names the agents), errors.BlueprintNotFound.
    """
    with transaction.atomic():
        blueprint = _lock(blueprint)
        agents = list(blueprint.agents.order_by("slug").values_list("slug", flat=True))
        if agents:
            raise errors.BlueprintInUse(agents=agents)
        blueprint.deleted_at = timezone.now()
        blueprint.save(update_fields=["deleted_at"])


def history(blueprint: models.Blueprint) -> QuerySet[models.BlueprintVersion]:
    """Its versions, the newest first."""
    return blueprint.versions.select_related("created_by", "blueprint").order_by("-number")


def version(blueprint: models.Blueprint, number: int | None = None) -> models.BlueprintVersion:
    """One of its versions; the newest if no number is given. Raises errors.VersionNotFound."""
    versions = history(blueprint)
    found = (versions if number is None else versions.filter(number=number)).first()
    if found is None:
        raise errors.VersionNotFound
    return found


def newest(found: Iterable[models.Blueprint]) -> list[models.BlueprintVersion]:
    """The newest version of each, in their order: one query for all of them. One that has no
    version is left out."""
    by_id = {blueprint.pk: blueprint for blueprint in found}
    rows = models.BlueprintVersion.objects.filter(blueprint__in=by_id)
    rows = rows.order_by("blueprint_id", "-number").distinct("blueprint_id")
    versions = {version.blueprint_id: version for version in rows}
    for version in versions.values():
        version.blueprint = by_id[version.blueprint_id]
    return [versions[pk] for pk in by_id if pk in versions]


def document(version: models.BlueprintVersion) -> dict[str, Any]:
    """A version as a client saves and loads it: the document, and what the server adds."""
    blueprint = version.blueprint
    ours = {
        "id": str(blueprint.pk),
        "createdAt": _as_text(blueprint.created_at),
        "updatedAt": _as_text(version.created_at),
    }
    return blueprints.ordered({**version.document, **ours})


def _as_text(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))
