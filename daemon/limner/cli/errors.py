"""Faults that a user can cause or repair: one sentence each, and the exit code."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_DAEMON = 3
EXIT_INTERRUPTED = 130


class CliError(Exception):
    """Ends the command with one sentence on stderr; `exit_code` is for scripts."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
