"""Runs in the terminal: what is shown of them, and what is asked."""

from experience.terminal.board import EXIT, Board

__all__ = ["EXIT", "Board"]
