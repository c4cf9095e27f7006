"""Tables, for the terminal and as Markdown to paste into docs/performance.md."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table as RichTable


@dataclass
class Table:
    """One part's figures. `notes` say what was measured against what, and the mark."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def mark(self, what: str, value: float, limit: float, *, at_least: bool = False) -> None:
        """A note that says whether a mark was reached. What could not be measured was not."""
        met = value >= limit if at_least else value <= limit
        sign = "≥" if at_least else "≤"
        verdict = "reached" if met else "**missed**"
        self.notes.append(f"Mark: {what} {sign} {limit:g}; measured {value:.3g}: {verdict}.")


def show(console: Console, table: Table) -> None:
    drawn = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)
    for note in table.notes:
        console.print(f"  {note}", markup=False)
    console.print()


def markdown(table: Table) -> str:
    """The table as Markdown, its notes below it."""
    lines = [f"### {table.title}", "", _row(table.columns)]
    lines.append(_row(["---", *["---:"] * (len(table.columns) - 1)]))
    lines += [_row(row) for row in table.rows]
    lines += ["", *(f"- {note}" for note in table.notes), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
