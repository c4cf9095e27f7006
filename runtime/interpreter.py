"""How the interpreter of a process that serves for long is set."""

import gc
import sys


def settle() -> None:
    """Make it fit for many short waits, once all is imported: `make bench` (d).

    What is loaded stays, so the collector need not walk it again and again (its pauses were
    up to 0.8 s); and the writer's and the doorbell's threads wait at most 0.5 ms, not 5, for
    their turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(0.0005)
