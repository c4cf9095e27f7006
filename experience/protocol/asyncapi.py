"""The sockets as an AsyncAPI document, made from the models that read and write their frames.

The format: https://www.asyncapi.com/docs/reference/specification/v3.0.0. In its words the
application is the server: it receives what clients say and sends what they are told.
"""

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from experience.protocol import agent, council

_TICKET = {
    "ticket": {"type": "string", "description": "from POST /api/tickets; good once"},
    "session_token": {"type": "string", "description": "the same as `ticket`"},
}
_AFTER = {
    "type": "integer",
    "minimum": 0,
    "default": 0,
    "description": "the `seq` of the last frame that the client has",
}


@dataclass(frozen=True)
class Channel:
    """A socket: where it is, and the unions of what is said on it."""

    name: str
    address: str
    summary: str
    query: dict[str, Any]
    from_client: Any
    to_client: Any

    @property
    def heard(self) -> list[type[BaseModel]]:
        return frames(self.from_client)

    @property
    def told(self) -> list[type[BaseModel]]:
        return frames(self.to_client)


CHANNELS = (
    Channel(
        "agent",
        "/api/runtime/agent",
        "Talk to agents in conversations.",
        _TICKET,
        agent.FromClient,
        agent.ToClient,
    ),
    Channel(
        "council",
        "/ws/council/{run_id}",
        "Watch one run, and answer its gates.",
        {**_TICKET, "after": _AFTER},
        council.FromClient,
        council.ToClient,
    ),
)


def frames(union: Any) -> list[type[BaseModel]]:
    """The frames in a union of them, however it is nested and annotated."""
    if isinstance(union, type):
        return [union] if issubclass(union, BaseModel) else []
    return [frame for part in get_args(union) for frame in frames(part)]


def document(version: str, *, host: str, secure: bool) -> dict[str, Any]:
    """The whole document, as JSON; `version` is that of CouncilOS, `host` has the port."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CouncilOS",
            "version": version,
            "description": "Sign in with a personal token in the Authorization header, with a "
            "ticket in the query, or with the session's cookie and an Origin that is allowed.",
        },
        "servers": {"this": {"host": host, "protocol": "wss" if secure else "ws"}},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{channel.name}.{action}": _operation(channel, action)
            for channel in CHANNELS
            for action in ("send", "receive")
        },
        "components": {
            "schemas": {
                name: schema
                for channel in CHANNELS
                for name, schema in _schemas(channel).items()
            }
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "address": channel.address,
        "summary": channel.summary,
        "messages": {
            frame.__name__: _message(channel, frame) for frame in channel.heard + channel.told
        },
        "bindings": {
            "ws": {"method": "GET", "query": {"type": "object", "properties": channel.query}}
        },
    }
    if "{run_id}" in channel.address:
        described["parameters"] = {"run_id": {"description": "the run's id, a UUID"}}
    return described


def _message(channel: Channel, frame: type[BaseModel]) -> dict[str, Any]:
    schema = f"#/components/schemas/{channel.name}.{frame.__name__}"
    summary = " ".join((frame.__doc__ or "").split())
    return {"name": frame.__name__, "summary": summary, "payload": {"$ref": schema}}


def _operation(channel: Channel, action: str) -> dict[str, Any]:
    path = f"#/channels/{channel.name}"
    said = channel.told if action == "send" else channel.heard
    return {
        "action": action,
        "channel": {"$ref": path},
        "messages": [{"$ref": f"{path}/messages/{frame.__name__}"} for frame in said],
    }


def _schemas(channel: Channel) -> dict[str, Any]:
    """Those of the channel's frames, with what they are made of."""
    template = f"#/components/schemas/{channel.name}.{{model}}"
    _, heard = models_json_schema(
        [(frame, "validation") for frame in channel.heard], ref_template=template
    )
    _, told = models_json_schema(
        [(frame, "serialization") for frame in channel.told], ref_template=template
    )
    schemas = heard["$defs"] | {name: _open(part) for name, part in told["$defs"].items()}
    return {f"{channel.name}.{name}": schema for name, schema in schemas.items()}


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """What a client may rely on: the constants are always there, and fields may be added."""
    fields = schema.get("properties", {})
    always = [name for name, field in fields.items() if "const" in field]
    required = list(dict.fromkeys([*always, *schema.get("required", [])]))
    opened = {name: part for name, part in schema.items() if name != "additionalProperties"}
    return opened | ({"required": required} if required else {})
