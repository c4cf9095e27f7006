"""Limits and budgets: reserved before a call, settled after it, never exceeded together."""

import json
import random
from decimal import Decimal
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from runtime import budgets, errors, events, gates, models, runs, tasks
from runtime.execution import meter
from tests import provider, speech
from tests.conftest import at_once, kinds, nodes_started, the_gate
from tests.speech import Answer

LOOP = ("d > k", "k revise> d", "k approve> w")


def _reserved():
    rows = models.Account.objects.values_list("tokens_reserved", "cost_reserved")
    return [row for row in rows if any(row)]


# --- of a run --------------------------------------------------------------------------


def test_a_limit_of_calls_stops_before_the_next_call_and_keeps_the_work(new_run, drain):
    run = new_run(limits={"calls": 3})

    drain()

    run.refresh_from_db()
    assert (run.status, run.reason, run.approved) == ("completed", "call_limit", False)
    assert run.usage["calls"] == 3
    assert run.usage["partial"] is False
    assert run.final_draft
    assert run.critic_score == 6.5, "the last real score"
    assert kinds(run)[-2:] == ["node.stopped", "run.completed"]


def test_a_limit_that_leaves_no_draft_ends_the_run_as_failed_with_its_name(new_run, drain):
    run = new_run(limits={"tokens": 100})

    drain()

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "token_limit")
    assert run.usage["calls"] == 0


def test_a_draft_that_a_token_limit_has_cut_is_said_to_be_cut(new_run, council, drain):
    whole = new_run(version=council("d > w"))
    run = new_run(version=council("d > w", w={"maxTokens": 5}))
    drain()

    run.refresh_from_db()
    whole.refresh_from_db()
    assert (run.status, run.draft_cut, whole.draft_cut) == ("completed", True, False)
    assert run.events.get(kind="run.completed").data["draft_cut"] is True
    cut = [
        event.data["cut"] for event in run.events.filter(kind="node.completed").order_by("seq")
    ]
    assert cut == [False, True]


def test_a_limit_of_tokens_is_never_exceeded(new_run, drain):
    run = new_run(limits={"tokens": 4_000})

    drain()

    run.refresh_from_db()
    used = run.usage["input_tokens"] + run.usage["output_tokens"]
    assert run.reason == "token_limit"
    assert 0 < used <= 4_000
    account = models.Account.objects.get(run=run)
    assert (account.tokens_spent, account.tokens_reserved) == (used, 0)


def test_a_limit_of_iterations_takes_the_place_of_the_critics(new_run, drain):
    run = new_run(limits={"iterations": 1})

    drain()

    run.refresh_from_db()
    assert (run.reason, run.iteration_count, run.approved) == ("iteration_limit", 1, False)
    assert run.critic_score == 6.5


def test_a_limit_of_time_counts_the_work_and_not_the_waiting(new_run, council, drain):
    run = new_run(version=council(*LOOP, k={"gateBefore": {}}), limits={"seconds": 3600})
    drain()
    models.Event.objects.filter(run=run, kind="run.started").delete()
    assert events.worked_seconds(run.pk) == 0
    runs.cancel(run.pk, by="alice")

    late = new_run(limits={"seconds": 0.000001})
    drain()
    late.refresh_from_db()
    assert (late.status, late.error_code) == ("failed", "time_limit")
    assert nodes_started(late) == []


def test_the_blueprints_limits_hold_where_the_run_states_none(new_run, council, drain):
    version = council(*LOOP, limits={"calls": 2, "iterations": 9})

    run = new_run(version=version, limits={"calls": 4})

    assert run.limits == {"calls": 4, "iterations": 9}
    assert new_run(version=version).limits == {"calls": 2, "iterations": 9}


@pytest.mark.parametrize(
    "limits",
    [{"calls": 0}, {"calls": -1}, {"calls": 1.5}, {"calls": "3"}, {"calls": True}, {"words": 3},
     {"cost": float("nan")}, {"seconds": float("inf")}],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused(new_run, limits):
    with pytest.raises(errors.LimitsInvalid):
        new_run(limits=limits)


async def test_a_limit_of_money_stops_before_it_is_exceeded(new_run, settings):
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        settings.MODEL_PRICES = {"openai:gpt-4o": (Decimal(10), Decimal(100))}
        server.then(*[Answer("A draft of some words.")] * 3)
        run = await sync_to_async(new_run)(model="openai:gpt-4o", limits={"cost": 0.001})
        await tasks.work(wait=False)
        assert server.requests == []
        enough = await sync_to_async(new_run)(model="openai:gpt-4o", limits={"cost": 0.9})
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    await enough.arefresh_from_db()
    assert run.error_code == "cost_limit"
    account = await models.Account.objects.aget(run=enough)
    assert 0 < account.cost_spent <= Decimal("0.9")
    assert account.cost_reserved == 0


def test_a_limit_of_money_needs_the_price_of_every_model(new_run, settings):
    settings.OPENAI_API_KEY = "sk-test"

    with pytest.raises(errors.PriceUnknown) as refused:
        new_run(model="openai:nobody-knows", limits={"cost": 1})

    assert refused.value.detail["model"] == "openai:nobody-knows"
    settings.MODEL_PRICES = {"openai:nobody-knows": (Decimal(0), Decimal(0))}
    assert new_run(model="openai:nobody-knows", limits={"cost": 1})


# --- a person extends it ---------------------------------------------------------------


def test_at_a_limit_a_person_is_asked_if_the_blueprint_says_so_and_it_goes_on(
    new_run, council, drain
):
    run = new_run(version=council(*LOOP, limits={"calls": 2, "atLimit": "ask"}))
    drain()
    gate = the_gate(run)
    assert (gate.place, gate.node, gate.actions) == ("limit", "d", ["approve", "reject"])
    assert gate.proposal["limit"] == "call_limit"

    gates.answer(gate.pk, action="approve", by="alice")
    drain()
    assert the_gate(run).node == "w"
    gates.answer(the_gate(run).pk, action="approve", by="alice", says={"limits": {"calls": 9}})
    drain()

    run.refresh_from_db()
    assert (run.status, run.reason, run.usage["calls"]) == ("completed", "approved", 5)
    assert run.usage["partial"] is False
    assert run.limits["calls"] == 9


def test_a_limit_that_nobody_extends_is_the_reason_of_the_end(new_run, council, drain):
    run = new_run(version=council(*LOOP, limits={"calls": 2, "atLimit": "ask"}))
    drain()

    gates.answer(the_gate(run).pk, action="reject", by="alice")

    run.refresh_from_db()
    assert (run.status, run.reason, run.approved) == ("completed", "call_limit", False)
    assert run.final_draft


def test_at_the_limit_of_iterations_a_person_may_give_another_round(new_run, council, drain):
    once = {"maxIterations": 1}
    version = council(*LOOP, k=once, limits={"atLimit": "ask"})
    for action, nodes in (("approve", ["d", "k", "d", "k", "w"]), ("reject", ["d", "k", "w"])):
        run = new_run(version=version)
        drain()
        assert the_gate(run).place == "iterations"
        gates.answer(the_gate(run).pk, action=action, by="alice")
        drain()
        run.refresh_from_db()
        assert run.status == "completed"
        assert nodes_started(run) == nodes


# --- of users and groups ---------------------------------------------------------------


def test_parallel_runs_together_stay_within_a_shared_cap(new_run, alice, drain):
    models.Allowance.objects.create(user=alice, daily_tokens=30_000)
    made = [new_run() for _ in range(20)]

    drain()

    assert 25_000 < models.Account.objects.get(user=alice).tokens_spent <= 30_000
    assert _reserved() == []
    ends = [models.Run.objects.get(pk=run.pk) for run in made]
    assert {end.reason for end in ends} >= {"approved"}
    stopped = [end for end in ends if end.reason != "approved"]
    assert {end.error_code or end.reason for end in stopped} == {"user_daily_token_limit"}


def test_a_cap_with_room_for_all_lets_all_through_though_they_reserve_more_than_they_use(
    new_run, alice, drain
):
    models.Allowance.objects.create(user=alice, daily_tokens=60_000)
    made = [new_run() for _ in range(20)]

    drain()

    assert {models.Run.objects.get(pk=run.pk).reason for run in made} == {"approved"}


@pytest.mark.parametrize("seed", range(3))
def test_with_workers_killed_the_sum_stays_within_the_cap_and_nothing_stays_reserved(
    new_run,
    alice,
    drain,
    zygote,
    seed,
):
    random_ = random.Random(seed)
    models.Allowance.objects.create(user=alice, daily_tokens=25_000)
    made = [new_run() for _ in range(20)]

    for _ in range(5):
        zygote.work(commit=random_.randint(1, 15), when=random_.choice(["before", "after"]))
        runs.cancel(made.pop().pk, by="alice")
        runs.rescue(silent_for=0)
        account = models.Account.objects.filter(user=alice).first()
        assert account is None or account.tokens_spent + account.tokens_reserved <= 25_000
    drain()
    runs.rescue(silent_for=0)

    assert models.Account.objects.get(user=alice).tokens_spent <= 25_000
    assert _reserved() == []
    assert not models.Reservation.objects.exists()
    assert {models.Run.objects.get(pk=run.pk).has_ended for run in made} == {True}


def test_a_group_shares_one_cap_among_its_members(new_run, alice, bob, drain):
    editors = Group.objects.create(name="editors")
    alice.groups.add(editors)
    bob.groups.add(editors)
    models.Allowance.objects.create(group=editors, monthly_tokens=3_500)
    made = [new_run(owner=owner) for owner in (alice, bob)]

    drain()

    ends = [models.Run.objects.get(pk=run.pk) for run in made]
    assert "group_monthly_token_limit" in {end.reason for end in ends} | {
        end.error_code for end in ends
    }
    assert models.Account.objects.get(group=editors).tokens_spent <= 3_500


def test_a_users_own_allowance_takes_the_place_of_each_users(alice, bob):
    models.Allowance.objects.create(daily_tokens=10)
    own = models.Allowance.objects.create(user=alice, daily_tokens=20)

    assert budgets.allowances(alice.pk) == [own]
    assert [each.daily_tokens for each in budgets.allowances(bob.pk)] == [10]


def test_an_allowance_given_in_the_middle_of_a_month_counts_what_was_spent_before(
    new_run, alice, drain
):
    before = new_run()
    drain()
    before.refresh_from_db()
    used = before.usage["input_tokens"] + before.usage["output_tokens"]
    models.Allowance.objects.create(user=alice, monthly_tokens=used + 100)

    run = new_run()
    drain()

    run.refresh_from_db()
    assert run.error_code == "user_monthly_token_limit"
    assert run.usage["calls"] == 0


def test_no_more_runs_are_under_way_than_are_allowed(new_run, alice, drain):
    models.Allowance.objects.create(user=alice, concurrent_runs=2)
    new_run()
    new_run()

    with pytest.raises(errors.TooManyRuns):
        new_run()

    drain()
    assert new_run()


# --- what becomes of a reservation -----------------------------------------------------


@pytest.fixture
def reserving(new_run):
    run = new_run(limits={"tokens": 10_000})
    run.refresh_from_db()
    claimed = runs.claim(run.pk, job_id=run.job_id, worker="w")
    fence = events.Fence(run.pk, claimed.attempt)
    reservation, _offer = budgets.reserve(fence, [budgets.Offer(100, 6_000, Decimal(0))])
    return claimed, fence, reservation


def test_a_second_call_waits_for_what_the_first_has_reserved_and_does_not_use(reserving):
    _run, fence, reservation = reserving
    offer = budgets.Offer(100, 6_000, Decimal(0))

    with pytest.raises(errors.LimitReached) as reached:
        budgets.reserve(fence, [offer])
    assert (reached.value.name, reached.value.for_now) == ("token_limit", True)

    budgets.settle(reservation, tokens=500, cost=Decimal(0))
    second, _ = budgets.reserve(fence, [offer])
    budgets.settle(second, tokens=4_500, cost=Decimal(0))
    with pytest.raises(errors.LimitReached) as reached:
        budgets.reserve(fence, [offer])
    assert not reached.value.for_now
    assert (
        budgets.reserve(fence, [offer, budgets.Offer(50, 3_000, Decimal(0))])[1].tokens == 3_000
    )


def test_a_run_that_is_cancelled_during_a_call_spends_what_the_call_had_reserved(reserving):
    run, fence, reservation = reserving

    runs.cancel(run.pk, by="alice")
    budgets.settle(reservation, tokens=10, cost=Decimal(0))

    account = models.Account.objects.get(run=run)
    assert (account.tokens_spent, account.tokens_reserved) == (6_000, 0)
    with pytest.raises(errors.RunLost):
        budgets.reserve(fence, [budgets.Offer(1, 1, Decimal(0))])


def test_an_attempt_that_has_lost_its_run_reserves_nothing(reserving):
    run, fence, _ = reserving
    runs.release(fence)

    with pytest.raises(errors.RunLost):
        budgets.reserve(fence, [budgets.Offer(1, 1, Decimal(0))])

    assert models.Account.objects.get(run=run).tokens_reserved == 0


async def test_a_call_that_the_provider_refused_has_spent_nothing_and_a_cut_one_all(
    new_run, settings
):
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        settings.MODEL_MAX_TRIES = 1
        server.then(Answer(status=401))
        refused = await sync_to_async(new_run)(model="openai:gpt-4o", limits={"tokens": 50_000})
        await tasks.work(wait=False)
        server.then(Answer("Half an answer of words", cut_at=2))
        cut = await sync_to_async(new_run)(model="openai:gpt-4o", limits={"tokens": 50_000})
        await tasks.work(wait=False)

    spent = [
        (await models.Account.objects.aget(run=run)).tokens_spent for run in (refused, cut)
    ]
    assert spent[0] == 0
    assert spent[1] > budgets.MOST_OUTPUT
    assert await sync_to_async(_reserved)() == []


async def test_a_hundred_reservations_at_once_on_one_account_do_not_exceed_it(new_run, alice):
    await models.Allowance.objects.acreate(user=alice, daily_tokens=1_000)

    def claimed():
        run = new_run()
        run.refresh_from_db()
        return runs.claim(run.pk, job_id=run.job_id, worker="w")

    made = [await sync_to_async(claimed)() for _ in range(5)]

    def reserve(run):
        try:
            budgets.reserve(runs.fence_of(run), [budgets.Offer(1, 90, Decimal(0))])
        except errors.LimitReached:
            return 0
        return 90

    assert sum(await at_once(*[partial(reserve, run) for run in made] * 8)) == 990


# --- what does not go by the book --------------------------------------------------------


def _counted(monkeypatch, given, said):
    """Let the provider report these numbers of tokens."""
    closing = speech.OpenAI.closing

    def absurd(self):
        lines = [json.loads(line[6:]) if line.startswith("data: {") else line
                 for line in closing(self).split("\n")]  # fmt: skip
        for line in lines:
            if isinstance(line, dict) and line.get("usage"):
                line["usage"] |= {"prompt_tokens": given, "completion_tokens": said}
        return "\n".join(
            f"data: {json.dumps(line)}" if isinstance(line, dict) else line for line in lines
        )

    monkeypatch.setattr(speech.OpenAI, "closing", absurd)


@pytest.mark.parametrize("counts", [(-5, -5), (10, -10_000), (10**12, 10**12), (10**19, 5)])
@pytest.mark.parametrize("limits", [{}, {"tokens": 100_000}])
async def test_counts_that_cannot_be_are_unknown_and_spend_what_was_reserved(
    new_run, council, alice, settings, monkeypatch, counts, limits
):
    _counted(monkeypatch, *counts)
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        version = await sync_to_async(council)("d > w")
        run = await sync_to_async(new_run)(
            version=version, model="openai:gpt-4o", limits=limits
        )
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert run.status == "completed", run.error_message
    assert run.usage["input_tokens"] is None
    if limits:
        account = await models.Account.objects.aget(run=run)
        assert account.tokens_spent > 2 * budgets.MOST_OUTPUT
        assert account.tokens_reserved == 0
    await models.Allowance.objects.acreate(user=alice, daily_tokens=10**9)
    after = await sync_to_async(new_run)(version=version)
    await tasks.work(wait=False)
    await after.arefresh_from_db()
    assert after.status == "completed", after.error_message


async def test_an_allowance_that_is_given_while_a_run_is_under_way_holds_for_it(
    new_run, alice, adrain, monkeypatch
):
    monkeypatch.setattr(meter, "LOOK_SECONDS", 0.0)
    call = meter.Meter.call

    async def given_after_the_first(self, *args, **more):
        reply = await call(self, *args, **more)
        await models.Allowance.objects.aget_or_create(user=alice, defaults={"daily_tokens": 1})
        return reply

    monkeypatch.setattr(meter.Meter, "call", given_after_the_first)
    run = await sync_to_async(new_run)()

    await adrain()

    await run.arefresh_from_db()
    assert (run.reason, run.usage["calls"]) == ("user_daily_token_limit", 1)


def test_what_a_run_has_reserved_in_different_accounts_is_settled_in_their_order(
    new_run, alice, drain
):
    """One lock order everywhere: else two of these wait for each other."""
    editors = Group.objects.create(name="editors")
    models.Allowance.objects.create(group=editors, daily_tokens=10**6)
    now = timezone.now()
    models.Account.objects.create(group=editors, period=f"{now:%Y-%m-%d}")
    models.Allowance.objects.create(user=alice, daily_tokens=10**6)
    run = new_run()
    run.refresh_from_db()
    fence = runs.fence_of(runs.claim(run.pk, job_id=run.job_id, worker="w"))
    budgets.reserve(fence, [budgets.Offer(1, 10, Decimal(0))])
    alice.groups.add(editors)
    budgets.reserve(fence, [budgets.Offer(1, 10, Decimal(0))])

    with CaptureQueriesContext(connection) as queries:
        runs.cancel(run.pk, by="alice")

    locks = [
        q["sql"]
        for q in queries
        if "FOR UPDATE" in q["sql"] and 'FROM "runtime_account"' in q["sql"]
    ]
    known = set(models.Account.objects.values_list("pk", flat=True))
    assert all(str(pk) in locks[0] for pk in known), "all of them by the first lock"
    assert _reserved() == []


async def test_a_retry_with_a_limit_on_money_needs_the_price_of_every_model(new_run, settings):
    settings.MODEL_MAX_TRIES = 1
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        server.then(Answer(status=401))
        run = await sync_to_async(new_run)(model="openai:nobody-knows")
        await tasks.work(wait=False)

    with pytest.raises(errors.PriceUnknown):
        await sync_to_async(runs.retry)(run.pk, by="alice", limits={"cost": 1})


@pytest.mark.parametrize("setting", ["deadline", "timeLimit"])
def test_a_time_beyond_all_times_is_refused(council, new_run, setting):
    far = {"gateBefore": {"deadline": 1e300}} if setting == "deadline" else {"timeLimit": 1e300}

    with pytest.raises(errors.BlueprintInvalid):
        new_run(version=council("d > w", w=far))
