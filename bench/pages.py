"""(e) The page of a large run in a browser: until it can be used, and its scripts' time.

A run of 200 steps that goes on: its last step has written 5 000 pieces of text that no result
has replaced yet. The page is loaded again and again, and then hears 2 000 more. Beside it a run
of five steps, and the least that a page could do in the same browser: read the frames as JSON
and add their text to one node.
"""

import json
import statistics
import time
from concurrent import futures
from typing import Any

from django.contrib.auth.models import User
from django.db import close_old_connections, transaction
from django.utils import timezone
from playwright import sync_api

from bench import report
from bench import system as systems
from experience import access
from runtime import events, models, shipped
from tests.acceptance import browsers

SMALL, LARGE, TOKENS, MORE = 5, 200, 5_000, 2_000
AT_ONCE = 20  # events in a transaction, as a worker's writer batches them
LOADS = 5
MARK_SECONDS, MARK_RATIO = 1.0, 4
WORDS = "What was said of it, in a few words of some length. "
PARAGRAPH = 20  # pieces
# All steps are listed, and the newest text stands there.
_IS_READY = """([steps, letters]) => document.querySelectorAll('.step').length >= steps
  && (document.querySelector('.growing')?.textContent.length ?? 0) >= letters"""
_FLOOR = """frames => {
  const begun = performance.now();
  const text = document.createTextNode('');
  document.body.append(text);
  for (const frame of frames) text.appendData(JSON.parse(frame).text);
  return (performance.now() - begun) / 1000;
}"""


def measure(system: systems.System, *, quick: bool) -> report.Table:
    loads, more = (2, 500) if quick else (LOADS, MORE)
    runs = {
        steps: _run(system, steps, TOKENS if steps == LARGE else 1) for steps in (SMALL, LARGE)
    }
    link = access.sign_in_link(
        User.objects.get(username=systems.OWNER), system.url, "/approvals/"
    )
    system.start_server()
    # Playwright's thread has an event loop, and Django's ORM is for threads without one.
    with futures.ThreadPoolExecutor(1) as database, sync_api.sync_playwright() as playwright:
        browser = browsers.launched(playwright)
        assert browser is not None, "(e) needs a browser, such as chromium-headless-shell"
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(link)
        eye = Eye(page)
        loaded = {
            steps: [eye.load(f"{system.url}/runs/{run.pk}/", steps) for _ in range(loads + 1)][
                1:
            ]
            for steps, run in runs.items()
        }
        grown = eye.grow(database, runs[LARGE], more)
        frame = {"event": "node_token", "node": "critic_agent", "seq": 1, "text": WORDS}
        least = page.evaluate(_FLOOR, [json.dumps(frame)] * more)
        browser.close()
        database.submit(close_old_connections).result()
    system.stop_parts()
    return _table(loaded, grown, least, more)


class Eye:
    """A window, and what it costs."""

    def __init__(self, page: sync_api.Page) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable")

    def load(self, url: str, steps: int) -> tuple[float, float]:
        """Seconds until the page can be used, and those that its scripts took."""
        self.page.goto("about:blank")
        before, begun = self._scripts(), time.perf_counter()
        self.page.goto(url, wait_until="commit")
        self._until(steps, _letters(TOKENS if steps == LARGE else 1))
        return time.perf_counter() - begun, self._scripts() - before

    def grow(self, database: futures.Executor, run: models.Run, more: int) -> float:
        """Seconds of scripts while the run goes on."""
        before = self._scripts()
        database.submit(_go_on, run, more).result()
        self._until(LARGE, _letters(TOKENS + more))
        return self._scripts() - before

    def _until(self, steps: int, letters: int) -> None:
        while not self.page.evaluate(_IS_READY, [steps, letters]):
            time.sleep(0.005)

    def _scripts(self) -> float:
        told = self.session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in told if each["name"] == "ScriptDuration"))


# --- the runs ----------------------------------------------------------------------------


def _run(system: systems.System, steps: int, tokens: int) -> models.Run:
    """A run under way whose drafts were sent back until there are so many steps."""
    [run_id] = system.create_runs(
        1, topic="Is it large?", blueprint=shipped.DEFAULT, model="demo:instant"
    )
    run = models.Run.objects.get(pk=run_id)
    log = [("run.started", {"attempt": 1, "worker": "bench"})]
    for step in range(steps):
        log += _step(step, is_open=step == steps - 1)
    log += _tokens(steps - 1, tokens)
    _append(run, log)
    models.Run.objects.filter(pk=run_id).update(
        status=models.Status.RUNNING, attempt=1, started_at=timezone.now(), worker="bench"
    )
    return run


def _step(number: int, *, is_open: bool) -> list[tuple[str, dict[str, Any]]]:
    drafts = number % 2 == 0
    about = {
        "node": "master_agent" if drafts else "critic_agent",
        "kind": "draft" if drafts else "critic",
        "iteration": number // 2 + 1,
        "task": f"task{number}",
        "model": "bench:bench",
    }
    verdict = {"score": 7.0, "verdict": "revise", "feedback": WORDS, "decision": "revise"}
    usage = {
        "calls": 1,
        "input_tokens": 900,
        "output_tokens": 500,
        "cost": "0.001",
        "cost_source": "bench",
    }
    done = {
        **about,
        "output": {"draft": WORDS * 20} if drafts else verdict,
        "score": None if drafts else 7.0,
        "duration_ms": 2_000,
        "usage": usage,
        "scripted": False,
        "cut": False,
        "first_token_ms": 300,
    }
    return [("node.started", about), *([] if is_open else [("node.completed", done)])]


def _tokens(number: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    node = "master_agent" if number % 2 == 0 else "critic_agent"
    return [
        ("node.token", {"node": node, "task": f"task{number}", "text": WORDS + _break(piece)})
        for piece in range(1, count + 1)
    ]


def _letters(pieces: int) -> int:
    """So many are shown at least of so many pieces: a block ends without its last blank."""
    return len(WORDS) * pieces - pieces // PARAGRAPH - 1


def _break(piece: int) -> str:
    return "\n\n" if piece % PARAGRAPH == 0 else ""


def _append(run: models.Run, log: list[tuple[str, dict[str, Any]]]) -> list[events.Logged]:
    """Write to a log, all at once; what a worker would write one after the other."""
    with transaction.atomic():
        run = models.Run.objects.select_for_update().get(pk=run.pk)
        first = run.last_seq + 1
        rows = models.Event.objects.bulk_create(
            models.Event(
                run=run, seq=seq, kind=kind, key=f"bench{seq}", data=data, at=timezone.now()
            )
            for seq, (kind, data) in enumerate(log, first)
        )
        models.Run.objects.filter(pk=run.pk).update(last_seq=run.last_seq + len(log))
    return [events.logged(row) for row in rows]


def _go_on(run: models.Run, more: int) -> None:
    for _ in range(more // AT_ONCE):
        events.ring(run.pk, _append(run, _tokens(LARGE - 1, AT_ONCE)))
        time.sleep(0.02)


# --- what is told of it ------------------------------------------------------------------


def _table(
    loaded: dict[int, list[tuple[float, float]]], grown: float, least: float, more: int
) -> report.Table:
    table = report.Table(
        f"(e) The page of a run with {LARGE} steps and {TOKENS} token events, in Chromium",
        ["what", "n", "median, s", "least … most", "scripts, s"],
    )
    medians = {}
    for steps, taken in loaded.items():
        seconds, scripts = [each[0] for each in taken], [each[1] for each in taken]
        medians[steps] = statistics.median(seconds)
        table.add(
            f"loaded anew, {steps} steps: all are there and the newest text stands",
            str(len(taken)),
            f"{medians[steps]:.2f}",
            f"{min(seconds):.2f} … {max(seconds):.2f}",
            f"{statistics.median(scripts):.2f}",
        )
    each = 1000 / more
    table.add("live, for 1 000 token events", str(more), "", "", f"{grown * each:.3f}")
    table.add(
        "floor: JSON.parse and one text node, for as many",
        str(more),
        "",
        "",
        f"{least * each:.3f}",
    )
    table.mark("seconds until the large run's page can be used", medians[LARGE], MARK_SECONDS)
    table.mark("the same ÷ that of five steps", medians[LARGE] / medians[SMALL], MARK_RATIO)
    table.mark("seconds of scripts for 1 000 events", grown * each, 0.25)
    return table
