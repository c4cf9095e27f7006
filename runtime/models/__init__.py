"""The rows that are the truth. Wrong states are refused by the database itself."""

from runtime.models.blueprints import Agent, Blueprint, BlueprintVersion, Visibility
from runtime.models.running import (
    ACTIVE,
    ENDED,
    Checkpoint,
    CheckpointWrite,
    Event,
    Run,
    Status,
)
from runtime.models.steering import Account, Action, Allowance, Gate, OnDeadline, Reservation

__all__ = [
    "ACTIVE",
    "ENDED",
    "Account",
    "Action",
    "Agent",
    "Allowance",
    "Blueprint",
    "BlueprintVersion",
    "Checkpoint",
    "CheckpointWrite",
    "Event",
    "Gate",
    "OnDeadline",
    "Reservation",
    "Run",
    "Status",
    "Visibility",
]
