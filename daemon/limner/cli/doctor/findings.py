"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "blocked"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor. `blocked` means that Limner cannot work like this."""

    name: str
    state: State
    text: str
    advice: str = ""


def fine(name: str, text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(name=name, state="ok", text=text)


def warning(name: str, text: str, advice: str) -> Finding:
    """Return a finding that Limner can live with."""
    return Finding(name=name, state="warning", text=text, advice=advice)


def blocked(name: str, text: str, advice: str) -> Finding:
    """Return a finding that stands in the way."""
    return Finding(name=name, state="blocked", text=text, advice=advice)
