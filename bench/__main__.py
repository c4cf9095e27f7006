"""`python -m bench [a b c d e f] [--quick]`: measure, and print tables."""

import argparse
import contextlib
import importlib
import signal
import sys
import time

from rich.console import Console

from bench import report
from bench import system as systems

PARTS = {
    "a": "latency",
    "b": "throughput",
    "c": "crowd",
    "d": "streams",
    "e": "pages",
    "f": "admin",
}


def main() -> None:
    asked = _asked()
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    systems.allow_many_sockets()
    system = systems.System()
    tables = []
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(system.stop)
        with console.status("starting PostgreSQL and Valkey …"):
            facts = systems.facts_before()
            system.prepare()
            facts = [*systems.facts(system), *facts]
        for part in asked.parts:
            # Only now: it imports Django's models, which need the settings of this system.
            module = importlib.import_module(f"bench.{PARTS[part]}")
            with console.status(f"measuring ({part}) …"):
                table = module.measure(system, quick=asked.quick)
            report.show(console, table)
            tables.append(table)
    took = f"{time.monotonic() - begun:.0f} s"
    print("\nFor docs/performance.md:\n")
    print("\n".join([*(f"- {fact}" for fact in facts), f"- the bench took {took}", ""]))
    print("\n".join(report.markdown(table) for table in tables))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help="a, b, c, d, e, f; all when none is named")
    parser.add_argument("--quick", action="store_true", help="fewer of everything, about 1 min")
    asked = parser.parse_args()
    asked.parts = asked.parts or list(PARTS)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return asked


if __name__ == "__main__":
    main()
