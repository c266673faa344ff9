"""Whether there is time for one more row. Pure: a GPU is lent for minutes, and all must end within them."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_LOAD_S, FIRST_ROW_S, COMPILING_S = 20.0, 12.0, 40.0
"""Guesses until something is known: of building a model, of measuring a row, of compiling on top."""


@dataclass
class Budget:
    """Learns from the rows that were measured."""

    end_s: float
    """By the clock that `now_s` is of."""
    _load_s: dict[str, float] = field(default_factory=dict)
    """By the model: the longest time to build it."""
    _row_s: dict[str, float] = field(default_factory=dict)
    """By the model: the longest time to measure a row."""

    def has_room(self, now_s: float, model: str, *, is_loaded: bool, compiles: bool = False) -> bool:
        """Whether a row would most likely end in time."""
        needed_s = self._row_s.get(model, max(self._row_s.values(), default=FIRST_ROW_S))
        if not is_loaded:
            needed_s += self._load_s.get(model, max(self._load_s.values(), default=FIRST_LOAD_S))
            needed_s += COMPILING_S * compiles
        return now_s + needed_s <= self.end_s

    def loaded(self, model: str, took_s: float) -> None:
        """Note how long it took to build a model."""
        self._load_s[model] = max(took_s, self._load_s.get(model, 0.0))

    def measured(self, model: str, took_s: float) -> None:
        """Note how long a row took."""
        self._row_s[model] = max(took_s, self._row_s.get(model, 0.0))
