"""What the commands print with: plain lines where there is no terminal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

# Without a terminal rich assumes 80 columns and would cut sentences in pieces.
PLAIN_WIDTH = 140


def out() -> Console:
    """Return a console on stdout."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def err() -> Console:
    """Return a console on stderr, for progress and errors."""
    return Console(
        stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH, highlight=False, soft_wrap=True
    )


def fail(message: str) -> None:
    """Print one sentence in red on stderr."""
    err().print(Text(f"limner: {message}", style="red"))


def say(message: str) -> None:
    """Print one line on stderr."""
    err().print(Text(message))
