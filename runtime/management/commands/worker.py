"""`manage.py worker`: drive runs until told to stop."""

import asyncio
import contextlib
import logging
import signal
from typing import Any

from django.core.management.base import BaseCommand

from runtime import exposition, interpreter, tasks, traces

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Drive runs until SIGTERM or Ctrl-C; then each run goes on to the end of its present "
        "node and is handed over. Start as many as you like, on any machine."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        traces.prepare()
        interpreter.settle()
        with contextlib.suppress(KeyboardInterrupt), exposition.serve():
            asyncio.run(_work())
        traces.stop()


async def _work() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            await tasks.work(stop=stop)
        except Exception:
            # Away for longer than its patience, or its registration was swept away while it
            # was frozen: begin afresh. What it had is taken up from the log.
            logger.exception("the worker stumbled and begins afresh in 1 s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
