"""What a user has used, and what they may."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from experience import outcomes
from experience.dashboard import history, told
from runtime import budgets, models


@dataclass(frozen=True)
class Used:
    """What the user's own runs of this month (UTC) have used, those that have ended."""

    runs: int
    tokens: str
    cost: str


@dataclass(frozen=True)
class Limit:
    """One thing that is limited. `used` is empty where nobody counts it."""

    what: str
    whose: str
    used: str
    most: str


def this_month(user: Any) -> Used:
    """One query, whatever number of runs there is."""
    begin = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    runs = user.runs.filter(created_at__gte=begin, ended_at__isnull=False).annotate(
        tokens=history.used("input_tokens", history.WHOLE)
        + history.used("output_tokens", history.WHOLE),
        cost=history.used("cost", history.MONEY),
    )
    found = runs.aggregate(
        runs=Count("pk"),
        partial=Count("pk", filter=Q(usage__partial=True)),
        all_tokens=Sum("tokens"),
        all_cost=Sum("cost"),
        untold=Count("pk", filter=Q(tokens=None)),
        unpriced=Count("pk", filter=Q(cost=None)),
    )
    least = "at least " if found["partial"] else ""
    tokens = f"{least}{told.count(found['all_tokens'] or 0)}"
    cost = outcomes.money(found["all_cost"] or 0, least)
    return Used(
        runs=found["runs"],
        tokens=_whole(tokens, found["untold"], found["runs"]),
        cost=_whole(cost, found["unpriced"], found["runs"]),
    )


def _whole(sum_: str, unknown: int, of: int) -> str:
    """The sum of what is known, and of how many it is not."""
    if not unknown:
        return sum_
    if unknown == of:
        return "unknown"
    return f"{sum_}, and unknown of {unknown} run{'s' if unknown != 1 else ''}"


def limits(user: Any, groups: Mapping[int, str]) -> list[Limit]:
    """What the user may use, by the allowances that hold for them. `groups` are theirs: name
    by id. Two queries."""
    now = timezone.now()
    spent = _spent(user, groups, now)
    found: list[Limit] = []
    for each in budgets.allowances(user.pk):
        whose = f"group {groups[each.group_id]}" if each.group_id else "you"
        if each.concurrent_runs is not None:
            most = str(each.concurrent_runs)
            found.append(Limit("runs at the same time", whose, "", most))
        found += _amounts(each, whose, spent, now)
    return found


def _amounts(
    each: models.Allowance, whose: str, spent: Mapping[Any, models.Account], now: datetime
) -> Iterator[Limit]:
    for span, period, tokens, cost in (
        ("today", f"{now:%Y-%m-%d}", each.daily_tokens, each.daily_cost),
        ("this month", f"{now:%Y-%m}", each.monthly_tokens, each.monthly_cost),
    ):
        account = spent.get((each.group_id, period))
        # An account is opened by the first call that is held against it.
        if tokens is not None:
            used = told.count(account.tokens_spent) if account else "none counted yet"
            yield Limit(f"tokens {span}", whose, used, told.count(tokens))
        if cost is not None:
            used = outcomes.money(account.cost_spent) if account else "none counted yet"
            yield Limit(f"cost {span}", whose, used, outcomes.money(cost))


def _spent(
    user: Any, groups: Mapping[int, str], now: datetime
) -> dict[tuple[int | None, str], models.Account]:
    """The accounts of today and of this month, by group (none: the user's own) and period."""
    whose = Q(user=user) | Q(group__in=groups)
    periods = (f"{now:%Y-%m-%d}", f"{now:%Y-%m}")
    rows = models.Account.objects.filter(whose, run=None, period__in=periods)
    return {(row.group_id, row.period): row for row in rows}
