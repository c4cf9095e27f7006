"""What a run, a user and a group may spend: reserved before each model call, settled after it.

An account counts what was spent and what calls under way may spend at most. A call is let
through only if both together stay within every cap, checked and written under the accounts'
row locks: so parallel runs together cannot exceed a shared cap. A call of which nobody knows
what it used (its line was cut, its worker killed) counts as what was reserved for it.

Locks are taken in one order everywhere: the run's row, then accounts by their id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from runtime import errors, events, models

LIMITS = ("iterations", "seconds", "calls", "tokens", "cost")
# Why a run may be stopped: the names of the limits.
REASONS = (
    *("call_limit", "token_limit", "cost_limit", "time_limit"),
    *(
        f"{whose}_{span}_{what}_limit"
        for whose in ("user", "group")
        for span in ("daily", "monthly")
        for what in ("token", "cost")
    ),
)
# Of a call that states none and is to be bounded; and the least that is worth a call.
MOST_OUTPUT = 8_192
LEAST_OUTPUT = 256


class Offer(NamedTuple):
    """A call with so many tokens of output at most, and what it can use at most."""

    max_tokens: int
    tokens: int
    cost: Decimal | None
    """In US dollars; None when the model has no known price."""


@dataclass(frozen=True)
class _Cap:
    """What one account may reach."""

    account: Mapping[str, Any]
    name: str
    calls: int | None = None
    tokens: int | None = None
    cost: Decimal | None = None

    def reached_by(self, account: models.Account, offer: Offer, *, reserved: bool) -> str:
        """The name of the limit that leaves no room for the call; empty when there is room.

        `reserved`: beside what the calls under way may spend, not only what was spent.
        """
        tokens = account.tokens_spent + reserved * account.tokens_reserved + offer.tokens
        if self.calls is not None and account.calls + 1 > self.calls:
            return f"{self.name}call_limit"
        if self.tokens is not None and tokens > self.tokens:
            return f"{self.name}token_limit"
        if self.cost is not None:
            cost = account.cost_spent + reserved * account.cost_reserved + (offer.cost or 0)
            if offer.cost is None or cost > self.cost:
                return f"{self.name}cost_limit"
        return ""


# --- limits of a run -------------------------------------------------------------------


def checked(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as they are stored. Raises errors.LimitsInvalid."""
    unknown = limits.keys() - {*LIMITS}
    if unknown:
        raise errors.LimitsInvalid(unknown=sorted(unknown))
    return {name: _positive(name, value) for name, value in limits.items() if value is not None}


def _positive(name: str, value: Any) -> int | float:
    whole = name not in ("seconds", "cost")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise errors.LimitsInvalid(limit=name)
    if not 0 < value < 10**12:
        raise errors.LimitsInvalid(limit=name)
    return value


# --- allowances ------------------------------------------------------------------------


def allowances(owner_id: Any) -> list[models.Allowance]:
    """Those that hold for a user: their groups', and their own or else each user's."""
    if owner_id is None:
        return []
    found = models.Allowance.objects.filter(
        Q(user_id=owner_id) | Q(group__user=owner_id) | Q(user=None, group=None)
    ).order_by("pk")
    own = any(each.user_id for each in found)
    return [each for each in found if each.user_id or each.group_id or not own]


def admit(owner: AbstractBaseUser | None) -> None:
    """Refuse another run of a user who has as many under way as are allowed.

    Inside the transaction that makes the run active. Raises errors.TooManyRuns.
    """
    held = [each for each in allowances(owner and owner.pk) if each.concurrent_runs is not None]
    # One at a time: else two that ask at once would each see room for themselves.
    list(models.Allowance.objects.select_for_update().filter(pk__in=[e.pk for e in held]))
    for each in held:
        active = models.Run.objects.filter(status__in=models.ACTIVE)
        whose = Q(owner__groups=each.group_id) if each.group_id else Q(owner=owner)
        if active.filter(whose).distinct().count() >= (each.concurrent_runs or 0):
            raise errors.TooManyRuns(allowed=each.concurrent_runs)


def needs_price(run: models.Run) -> bool:
    """Whether a limit on money holds for the run."""
    costs = [cost for e in allowances(run.owner_id) for cost in (e.daily_cost, e.monthly_cost)]
    return "cost" in run.limits or any(cost is not None for cost in costs)


def is_metered(run: models.Run) -> bool:
    """Whether any limit on calls, tokens or money may hold for the run."""
    return not _OWN.isdisjoint(run.limits) or (
        run.owner_id is not None and models.Allowance.objects.exists()
    )


_OWN = frozenset({"calls", "tokens", "cost"})


def _caps(run: models.Run) -> Iterator[_Cap]:
    limits = run.limits
    if not _OWN.isdisjoint(limits):
        cost = Decimal(str(limits["cost"])) if "cost" in limits else None
        yield _Cap({"run_id": run.pk}, "", limits.get("calls"), limits.get("tokens"), cost)
    for each in allowances(run.owner_id):
        whose = {"group_id": each.group_id} if each.group_id else {"user_id": run.owner_id}
        name = "group" if each.group_id else "user"
        now = timezone.now()
        periods = (
            ("daily", f"{now:%Y-%m-%d}", each.daily_tokens, each.daily_cost),
            ("monthly", f"{now:%Y-%m}", each.monthly_tokens, each.monthly_cost),
        )
        for span, period, tokens, cost in periods:
            if tokens is not None or cost is not None:
                account = {**whose, "period": period}
                yield _Cap(account, f"{name}_{span}_", None, tokens, cost)


# --- before a call ---------------------------------------------------------------------


def reserve(fence: events.Fence, offers: Sequence[Offer]) -> tuple[int, Offer]:
    """Reserve for one call the first offer for which every account has room.

    Returns the reservation's id and the offer. Raises errors.LimitReached, with the name of
    the limit that leaves no room for the last offer, or for now none beside other calls; and
    errors.RunLost.
    """
    with transaction.atomic():
        run = _lock_mine(fence)
        caps = list(_caps(run))
        accounts = _lock(caps)
        offer = _first_with_room(offers, caps, accounts)
        pks = sorted(account.pk for account in accounts)
        models.Account.objects.filter(pk__in=pks).update(
            calls=F("calls") + 1,
            tokens_reserved=F("tokens_reserved") + offer.tokens,
            cost_reserved=F("cost_reserved") + (offer.cost or 0),
        )
        made = models.Reservation.objects.create(
            run=run, accounts=pks, tokens=offer.tokens, cost=offer.cost
        )
    return made.pk, offer


def _lock_mine(fence: events.Fence) -> models.Run:
    mine = models.Run.objects.filter(
        pk=fence.run_id, attempt=fence.attempt, status=models.Status.RUNNING
    )
    run = mine.select_for_update(no_key=True).first()
    if run is None:
        raise errors.RunLost(str(fence.run_id))
    return run


def _lock(caps: Iterable[_Cap]) -> list[models.Account]:
    """The accounts of the caps, in their order, opened if need be."""
    pks = [_opened(cap.account) for cap in caps]
    rows = models.Account.objects.select_for_update().filter(pk__in=pks).order_by("pk")
    by_pk = {row.pk: row for row in rows}
    return [by_pk[pk] for pk in pks]


def _opened(whose: Mapping[str, Any]) -> int:
    found = models.Account.objects.filter(**{**_NOBODY, **whose}).values_list("pk", flat=True)
    if pk := found.first():
        return pk
    spent = _spent_before(whose) if "run_id" not in whose else {}
    rows = [models.Account(**{**_NOBODY, **whose}, **spent)]
    models.Account.objects.bulk_create(rows, ignore_conflicts=True)
    return found.get()


_NOBODY: Mapping[str, Any] = {"run_id": None, "user_id": None, "group_id": None, "period": ""}

_SPENT = """
SELECT coalesce(sum((event.data #>> '{usage,input_tokens}')::bigint), 0)
     + coalesce(sum((event.data #>> '{usage,output_tokens}')::bigint), 0),
       coalesce(sum((event.data #>> '{usage,cost}')::numeric), 0)
FROM runtime_event AS event JOIN runtime_run AS run ON run.id = event.run_id
WHERE event.kind = 'node.completed' AND event.at >= %(begin)s
  AND (run.ended_at IS NULL OR run.ended_at >= %(begin)s)
  AND (run.owner_id = %(user)s OR run.owner_id IN
       (SELECT user_id FROM auth_user_groups WHERE group_id = %(group)s))
"""


def _spent_before(whose: Mapping[str, Any]) -> dict[str, Any]:
    """What the log says of a period whose account is only opened now: an allowance may be
    given in the middle of a month."""
    begin = (whose["period"] + "-01")[:10]
    values = {"begin": begin, "user": whose.get("user_id"), "group": whose.get("group_id")}
    with connection.cursor() as cursor:
        cursor.execute(_SPENT, values)
        tokens, cost = cursor.fetchone()
    return {"tokens_spent": tokens, "cost_spent": cost}


def _first_with_room(
    offers: Sequence[Offer], caps: Sequence[_Cap], accounts: Sequence[models.Account]
) -> Offer:
    reached = ""
    for offer in offers:
        reached = _reached(offer, caps, accounts, reserved=False)
        if reached:
            continue
        # A shorter answer because others are at work would be worse than waiting for them.
        if busy := _reached(offer, caps, accounts, reserved=True):
            raise errors.LimitReached(busy, for_now=True)
        return offer
    raise errors.LimitReached(reached)


def _reached(
    offer: Offer, caps: Sequence[_Cap], accounts: Sequence[models.Account], *, reserved: bool
) -> str:
    names = (
        cap.reached_by(account, offer, reserved=reserved)
        for cap, account in zip(caps, accounts, strict=True)
    )
    return next(filter(None, names), "")


# --- after it --------------------------------------------------------------------------


def settle(reservation_id: int, *, tokens: int | None, cost: Decimal | None) -> None:
    """Replace what was reserved for a call by what it used; unknown (None) counts as reserved.

    Does nothing when it has been settled already: the run was cancelled meanwhile.
    """
    with transaction.atomic():
        row = models.Reservation.objects.select_for_update().filter(pk=reservation_id).first()
        if row is not None:
            _settle(row, row.tokens if tokens is None else tokens, cost)


def settle_all(run_id: Any) -> None:
    """Settle what calls that nobody waits for any more had reserved, as if they had used it.

    Inside a transaction that has locked the run's row.
    """
    rows = models.Reservation.objects.select_for_update().filter(run_id=run_id).order_by("pk")
    found = list(rows)
    _lock_in_order({pk for row in found for pk in row.accounts})
    for row in found:
        _settle(row, row.tokens, row.cost)


def _settle(row: models.Reservation, tokens: int, cost: Decimal | None) -> None:
    row.delete()
    pks = _lock_in_order(row.accounts)
    models.Account.objects.filter(pk__in=pks).update(
        tokens_spent=F("tokens_spent") + tokens,
        tokens_reserved=F("tokens_reserved") - _reserved(row)[0],
        cost_spent=F("cost_spent") + (row.cost or 0 if cost is None else cost),
        cost_reserved=F("cost_reserved") - _reserved(row)[1],
    )


def _lock_in_order(pks: Iterable[int]) -> list[int]:
    rows = models.Account.objects.select_for_update().filter(pk__in=[*pks]).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def _reserved(row: models.Reservation) -> tuple[int, Decimal]:
    return row.tokens, row.cost or Decimal(0)


def left_behind() -> list[Any]:
    """The runs that are not running and have something reserved: to be swept."""
    rows = models.Reservation.objects.exclude(run__status=models.Status.RUNNING)
    return list(rows.values_list("run_id", flat=True).distinct())
