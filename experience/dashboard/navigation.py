"""What every page shows beside its own: how much waits for the reader."""

from typing import Any

from django.http import HttpRequest

from experience import access


class Navigation:
    """Looked up when a template asks for it, and only then."""

    def __init__(self, user: Any) -> None:
        self._user = user

    @property
    def waiting(self) -> int:
        """The gates that wait for the reader: one query."""
        return access.gates_of(self._user).count()


def about(request: HttpRequest) -> dict[str, Navigation]:
    """A context processor: `navigation`, for those signed in."""
    user = getattr(request, "user", None)
    return {"navigation": Navigation(user)} if user and user.is_authenticated else {}
