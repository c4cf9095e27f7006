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


class InputInvalid(Refusal):
    """The topic must have 1 to 10 000 characters."""

    code = "input_invalid"


class ModelUnknown(Refusal):
    """There is no such model. Write `provider:model`; `demo` has council and instant."""

    code = "model_unknown"


class ModelNotConfigured(Refusal):
    """The operator has set no key for the provider of this model."""

    code = "model_not_configured"


class IdempotencyKeyInvalid(Refusal):
    """An Idempotency-Key has 1 to 200 characters."""

    code = "idempotency_key_invalid"


class IdempotencyConflict(Refusal):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency_conflict"


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


class ModelFault(Fault):
    """A model call failed; `transient` says whether the same call may succeed later."""

    def __init__(self, code: str, message: str, *, transient: bool) -> None:
        super().__init__(code, message)
        self.transient = transient
