"""The Django admin: runs to inspect, gates to answer, allowances to give."""

from runtime.admin import running, steering

__all__ = ["running", "steering"]
