"""What is written once."""

from typing import Any


class ReadOnly:
    """Nobody adds, changes or deletes these by hand."""

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any) -> bool:
        return False
