"""What callers may ask in vain, and what a model may fail with. No HTTP words here."""

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """This cannot be done."""

    code = "refused"

    def __init__(self, message: str = "", **detail: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.detail: Mapping[str, Any] = detail


class RunNotFound(Refusal):
    """There is no such run."""

    code = "run_not_found"


class RunFinished(Refusal):
    """The run has already ended; its end cannot be changed."""

    code = "run_finished"


class BlueprintNotFound(Refusal):
    """There is no such blueprint."""

    code = "blueprint_not_found"


class BlueprintInvalid(Refusal):
    """The blueprint has faults; `detail.faults` names every one of them."""

    code = "blueprint_invalid"


class BlueprintReadOnly(Refusal):
    """You may look at this blueprint and run it, but not change it. Save a copy of your own."""

    code = "blueprint_read_only"


class BlueprintConflict(Refusal):
    """Somebody saved a newer version meanwhile. Look at it, then save yours on top of it."""

    code = "blueprint_conflict"


class BlueprintInUse(Refusal):
    """Agents run this blueprint. Give them another one first."""

    code = "blueprint_in_use"


class VersionNotFound(Refusal):
    """The blueprint has no version of this number."""

    code = "version_not_found"


class InputInvalid(Refusal):
    """The topic must have 1 to 10 000 characters."""

    code = "input_invalid"


class ModelUnknown(Refusal):
    """There is no such model. Write `provider:model`; `demo` has council and instant."""

    code = "model_unknown"


class ModelNotConfigured(Refusal):
    """No key is set for the provider of this model: OPENAI_API_KEY or ANTHROPIC_API_KEY."""

    code = "model_not_configured"


class IdempotencyKeyInvalid(Refusal):
    """An Idempotency-Key has 1 to 200 characters."""

    code = "idempotency_key_invalid"


class IdempotencyConflict(Refusal):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency_conflict"


class RunReadOnly(Refusal):
    """You may watch this run and answer its gates; only its owner may do this."""

    code = "run_read_only"


class RunNotFailed(Refusal):
    """Only a run that has failed can be retried; fork another instead."""

    code = "run_not_failed"


class RunNotRunning(Refusal):
    """Only a run that a worker has can be taken from it."""

    code = "run_not_running"


class StepNotFound(Refusal):
    """There is no finished step with this number in the run's log."""

    code = "step_not_found"


class ForkNotPossible(Refusal):
    """The run cannot go on from this step with another blueprint version."""

    code = "fork_not_possible"


class LimitsInvalid(Refusal):
    """A limit is a positive number; known are iterations, seconds, calls, tokens and cost."""

    code = "limits_invalid"


class PriceUnknown(Refusal):
    """A limit on money needs the price of every model; set MODEL_PRICES, or lift the limit."""

    code = "price_unknown"


class TooManyRuns(Refusal):
    """So many runs are under way as are allowed; wait for one to end, or cancel one."""

    code = "too_many_runs"


class GateNotFound(Refusal):
    """There is no such gate."""

    code = "gate_not_found"


class GateNotOpen(Refusal):
    """The run does not wait at a gate."""

    code = "gate_not_open"


class GateAnswered(Refusal):
    """The gate has been answered already; `detail` says by whom, when and how."""

    code = "gate_answered"


class GateAmbiguous(Refusal):
    """Several gates are open; name one of those in `detail.gates` as gate_id."""

    code = "gate_ambiguous"


class GateNotYours(Refusal):
    """Somebody else is to answer this gate; `detail.answerers` says who."""

    code = "gate_not_yours"


class AnswerInvalid(Refusal):
    """The gate cannot be answered like this."""

    code = "answer_invalid"


class RunLost(Exception):
    """The run is no longer this attempt's: it was cancelled or another worker has it.

    Whoever meets this stops at once and writes nothing more.
    """


class Fault(Exception):
    """The run cannot succeed, for a stated reason: `code` and a sentence for people.

    The sentence is shown to whoever may see the run, so it holds no prompt, key or text
    of a provider.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class LimitReached(Exception):
    """A limit leaves no room for the next model call. `name` is the reason to stop for.

    `for_now`: there will be room if the calls under way use less than they have reserved.
    """

    def __init__(self, name: str, *, for_now: bool = False) -> None:
        super().__init__(name)
        self.name = name
        self.for_now = for_now


class ModelFault(Fault):
    """A model call failed; `transient` says whether the same call may succeed later."""

    def __init__(self, code: str, message: str, *, transient: bool) -> None:
        super().__init__(code, message)
        self.transient = transient
