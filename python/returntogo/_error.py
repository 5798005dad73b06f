"""The exception of rtg's errors."""

from __future__ import annotations


class Error(Exception):
    """What rtg refuses, in its words. `hint` says what to do about it, where that is known.

    Tracebacks show the hint as a note (from Python 3.11 on).
    """

    hint: str | None

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.hint = hint
        if hint is not None and hasattr(self, "add_note"):
            self.add_note(f"hint: {hint}")

    def __str__(self) -> str:
        return str(self.args[0])
