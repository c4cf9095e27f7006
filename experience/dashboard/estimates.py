"""What a run will need, by what earlier ones needed: a range and its basis, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from experience import access, outcomes
from experience.dashboard import told
from runtime import budgets, models

# The latest runs say more of the next one than those of last year.
MOST = 50


@dataclass(frozen=True)
class Estimate:
    """The least and the most that the runs of the basis used. `cost` is in US dollars, None
    where it is not known of all of them."""

    runs: int
    model: str
    calls: tuple[int, int] | None = None
    tokens: tuple[int, int] | None = None
    cost: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """The estimate in one line, with its basis."""
        if not self.calls:
            return f"No basis yet: no finished run of this council with {self.model}."
        parts = [_range(self.calls, "call")]
        if self.tokens:
            parts.append(_range(self.tokens, "token"))
        parts.append(_money(self.cost))
        runs = f"{self.runs} earlier run{'s' if self.runs != 1 else ''}"
        return f"{', '.join(parts)}; by {runs} with {self.model}."


def of(user: Any, blueprint_id: UUID, model: str) -> Estimate:
    """By the latest completed runs of this blueprint, any version, that the user may see.

    `model`: the full name that the run will have; what another model used says nothing of
    its price. Runs of which nobody knows what all their calls used are not counted.
    """
    found = access.runs_of(user).filter(
        blueprint_version__blueprint=blueprint_id,
        status=models.Status.COMPLETED,
        model=model,
        usage__partial=False,
    )
    # What a limit cut short, or a fork reused, says too little of a whole run.
    found = found.exclude(reason__in=budgets.REASONS).exclude(parent_seq__gt=0)
    used = list(found.order_by("-created_at").values_list("usage", flat=True)[:MOST])
    if not used:
        return Estimate(0, model)
    tokens = [_sum(each) for each in used]
    return Estimate(
        len(used),
        model,
        calls=_span([each["calls"] for each in used]),
        tokens=_span(tokens),
        cost=_span([None if e["cost"] is None else float(e["cost"]) for e in used]),
    )


def _sum(usage: Any) -> int | None:
    both = usage["input_tokens"], usage["output_tokens"]
    return None if None in both else sum(both)


def _span(values: Sequence[Any]) -> Any:
    """The least and the most; None if one of them is not known."""
    return None if None in values else (min(values), max(values))


def _range(span: tuple[int, int], unit: str) -> str:
    least, most = (told.count(number) for number in span)
    plural = unit if span[1] == 1 else f"{unit}s"
    return f"{most} {plural}" if least == most else f"{least} to {most} {plural}"


def _money(span: tuple[float, float] | None) -> str:
    if span is None:
        return "cost unknown"
    least, most = (outcomes.money(value) for value in span)
    return least if least == most else f"{least} to {most}"
