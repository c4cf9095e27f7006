"""The sockets: `council` watches one run, `agent` talks in conversations."""

from experience.consumers.agent import AgentConsumer
from experience.consumers.base import Nowhere
from experience.consumers.council import CouncilConsumer

__all__ = ["AgentConsumer", "CouncilConsumer", "Nowhere"]
