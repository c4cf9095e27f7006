"""The form that an answer is asked for in: a pydantic model, or a JSON Schema as it is."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = type[BaseModel] | Mapping[str, Any]


def as_json_schema(schema: Schema) -> Mapping[str, Any]:
    """The JSON Schema of either."""
    return schema if isinstance(schema, Mapping) else schema.model_json_schema()
