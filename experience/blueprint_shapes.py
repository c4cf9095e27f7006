"""The shapes of the routes of blueprints, and how OpenAPI is told of them."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.plumbing import ResolvedComponent
from pydantic import BaseModel, Field
from rest_framework import serializers

from runtime import blueprints, models


class Unsaved(blueprints.Document):
    """A blueprint as it is sent. Fields that are not known are kept."""

    visibility: models.Visibility | None = None
    version_made_from: int | None = Field(default=None, alias="version_made_from")
    """Of a PUT: the number of the version that was changed."""


class Saved(blueprints.Document):
    """A blueprint as it is kept."""

    version_number: int = Field(alias="version_number")
    visibility: models.Visibility
    owner: str | None
    """Null for those that ship."""
    read_only: bool = Field(alias="read_only")


# drf-spectacular takes a list of anything but pydantic's.
SAVED_LIST = {"type": "array", "items": {"$ref": "#/components/schemas/BlueprintSaved"}}


class Beside(serializers.Serializer[Any]):
    """What a client may say beside the document."""

    visibility = serializers.ChoiceField(
        models.Visibility.choices, required=False, allow_null=True
    )
    version_made_from = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=2**31 - 1
    )


class FaultShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    node = serializers.CharField(allow_null=True)
    edge = serializers.CharField(allow_null=True)
    field = serializers.CharField(allow_null=True)


class Faults(serializers.Serializer[Any]):
    faults = FaultShape(many=True)


class VersionSummary(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    name = serializers.CharField(source="document.name")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by.username", default=None)


class Change(serializers.Serializer[Any]):
    """A field that changed: `from` and `to`, as far as it was and is there, or `diff`."""

    field = serializers.CharField(help_text="a path, as settings.threshold")
    diff = serializers.CharField(required=False, help_text="of a long text: a unified diff")
    to = serializers.JSONField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.JSONField(required=False)}


class ChangedPart(serializers.Serializer[Any]):
    id = serializers.CharField()
    fields = Change(many=True)  # type: ignore[assignment] # a name of the base class, too


class ChangedParts(serializers.Serializer[Any]):
    added = serializers.ListField(child=serializers.DictField())
    removed = serializers.ListField(child=serializers.DictField())
    changed = ChangedPart(many=True)
    reordered = serializers.BooleanField()


class Difference(serializers.Serializer[Any]):
    from_version = serializers.IntegerField()
    to_version = serializers.IntegerField()
    fields = Change(many=True)  # type: ignore[assignment]
    nodes = ChangedParts()
    edges = ChangedParts()


class ListQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=100)
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class CompareQuery(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        older = serializers.IntegerField(
            required=False, min_value=1, help_text="a number; the version before if left out"
        )
        return {"from": older}


class ExportQuery(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        required=False, min_value=1, help_text="a number; the newest if left out"
    )


class DrawQuery(ExportQuery):
    format = serializers.ChoiceField(["mermaid", "svg"], default="svg")


# --- OpenAPI ---------------------------------------------------------------------------


class PydanticShape(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """A blueprint's document, which is pydantic's, and what is made of it."""

    target_class = BaseModel
    match_subclasses = True
    priority = 1  # before drf-spectacular's own for pydantic, which writes OpenAPI 3.1

    def get_name(self, auto_schema: Any, direction: str) -> str:
        return f"Blueprint{self.target.__name__}"

    def map_serializer(self, auto_schema: Any, direction: str) -> Any:
        schema = _as_of_3_0(
            self.target.model_json_schema(ref_template="#/components/schemas/Blueprint{model}")
        )
        for name, part in schema.pop("$defs", {}).items():
            component = ResolvedComponent(  # type: ignore[no-untyped-call]
                name=f"Blueprint{name}",
                type=ResolvedComponent.SCHEMA,
                object=f"Blueprint{name}",
                schema=part,
            )
            auto_schema.registry.register_on_missing(component)
        return schema


def _as_of_3_0(schema: Any) -> Any:
    """OpenAPI 3.0 knows no type `null`, no `const`, and bounds only beside a minimum."""
    if isinstance(schema, list):
        return [_as_of_3_0(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: _as_of_3_0(value) for name, value in schema.items()}
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(known.get(bound), int | float):
            known |= {limit: known[bound], bound: True}
    if {"type": "null"} in known.get("anyOf", []):
        others = [each for each in known.pop("anyOf") if each != {"type": "null"}]
        known |= {"allOf": others} if len(others) == 1 else {"anyOf": others}
        known["nullable"] = True
        known.pop("default", None)
    return known
