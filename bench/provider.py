"""The provider of part (d): OpenAI's protocol, and the moment of sending in every token.

    python -m bench.provider      # prints its URL

It is the tests' provider. How many tokens it answers is asked for in the run's topic.
"""

import asyncio
import re
import time

from tests import provider, speech

TOKENS_PER_SECOND = 30.0
TOPIC = "A bench of {tokens} tokens"
_ASKED = re.compile(r"A bench of (\d+) tokens")


class Stamped(speech.OpenAI):
    """Says the time instead of words, built once: the provider is not what is measured."""

    def __init__(self, request: speech.Request, answer: speech.Answer) -> None:
        super().__init__(request, answer)
        self._before, self._after = super().token("@").split("@")

    def token(self, text: str) -> str:
        return f"{self._before} {time.time():.3f}{self._after}"


def asked_for(text: str) -> int:
    """How many tokens a prompt with our topic asks for."""
    asked = _ASKED.search(text)
    assert asked is not None
    return int(asked[1])


def behave(request: speech.Request) -> speech.Answer:
    return speech.Answer(text="so " * asked_for(request.text), every=1 / TOKENS_PER_SECOND)


async def _main() -> None:
    speech.OpenAI = Stamped  # type: ignore[misc]
    server = provider.Server(behave)
    listening = await server.start()
    print(server.url, flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
