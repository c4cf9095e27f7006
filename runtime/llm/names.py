"""Which model a name means, and whether the operator has set it up."""

import re

from django.conf import settings

from runtime import errors

DEMO_DEFAULT = "demo:council"
_DEMO_MODELS = frozenset({"council", "instant"})
# Slashes, colons and the like are part of real names (`openai:org/model:free`); blanks
# and control characters are not.
_FORM = re.compile(r"(?P<provider>[a-z]+):(?P<model>[^\s\x00-\x1f\x7f]{1,200})")
LONGEST = 200  # characters, the provider's included
_PROVIDERS = ("openai", "anthropic", "demo")


def resolve(name: str) -> str:
    """The full `provider:model` of a name, an alias, or (for an empty name) the default.

    Raises errors.ModelUnknown when it is malformed or names no provider there is, and
    errors.ModelNotConfigured when the operator has set neither key nor base URL for it.
    """
    asked = name or settings.DEFAULT_MODEL or _default()
    full = settings.MODEL_ALIASES.get(asked, asked)
    provider, model = split(full)
    if provider == "demo" and model not in _DEMO_MODELS:
        raise errors.ModelUnknown(model=full)
    if provider != "demo" and not (key(provider) or base_url(provider)):
        raise errors.ModelNotConfigured(model=full, provider=provider)
    return full


def split(full: str) -> tuple[str, str]:
    """The provider and the model of a full name."""
    match = _FORM.fullmatch(full)
    if match is None or len(full) > LONGEST or match["provider"] not in _PROVIDERS:
        raise errors.ModelUnknown(model=full)
    return match["provider"], match["model"]


def key(provider: str) -> str:
    """The operator's key for a provider; empty when none is set."""
    return str(getattr(settings, f"{provider.upper()}_API_KEY", ""))


def base_url(provider: str) -> str:
    """The operator's own base URL for a provider; empty for the provider's public one."""
    return str(getattr(settings, f"{provider.upper()}_BASE_URL", ""))


def _default() -> str:
    if key("openai"):
        return f"openai:{settings.OPENAI_DEFAULT_MODEL}"
    if key("anthropic"):
        return f"anthropic:{settings.ANTHROPIC_DEFAULT_MODEL}"
    return DEMO_DEFAULT
