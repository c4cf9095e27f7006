"""A worker whose nodes say when their result was there.

For part (a): the moment goes along in the node's output, through LangGraph, PostgreSQL,
Valkey and the socket, so that what is measured begins at the node and not at the writer.
"""

import os
import time
from dataclasses import replace

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "councilos.settings")
django.setup()

from django.core import management  # noqa: E402 - after the set-up

from runtime import nodes  # noqa: E402


def stamped(kind: nodes.Kind) -> nodes.Kind:
    async def run(step: nodes.Step) -> nodes.Result:
        result = await kind.run(step)
        result.output["returned_at"] = time.time()
        return result

    return replace(kind, run=run)


if __name__ == "__main__":
    nodes.KINDS.update({name: stamped(kind) for name, kind in nodes.KINDS.items()})
    management.call_command("worker")
