"""Styles: names for a prompt with its strength and steps."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from limner.daemon.protocol import MAX_NAME_CHARS, LeastSteps, Mix, Prompt, Steps, Strength, TransitionMs

BUILT_IN = Path(__file__).with_name("styles.toml")
# What a look without a style is called; never the name of a style.
CUSTOM = "custom"


class StylesError(Exception):
    """A file of styles that cannot be used; the message names the file, the place and the fault."""


class UnknownStyleError(Exception):
    """Nobody knows this style; the message suggests the nearest and lists all."""


class Style(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One style. Strength 0..1 (0 the source, 1 all invented), steps 1..4."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    prompt: Prompt
    mix: Mix = []
    """Painted instead of the prompt, which then only says in words what it is."""
    strength: Strength = 0.5
    steps: Steps = 1
    least_steps: LeastSteps | None = None
    """None: as it was."""
    transition_ms: TransitionMs | None = None
    """None: as it was."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    style: list[Style]


class Styles:
    """All styles, in the order to show them. Names are matched without regard to case."""

    def __init__(self, styles: list[Style]) -> None:
        self._by_key = {style.name.casefold(): style for style in styles}

    def __iter__(self) -> Iterator[Style]:
        return iter(self._by_key.values())

    @property
    def names(self) -> list[str]:
        """Names, in the order to show them."""
        return [style.name for style in self]

    def find(self, name: str) -> Style:
        """Return the style called `name`; raises UnknownStyleError."""
        style = self._by_key.get(name.strip().casefold())
        if style is None:
            near = difflib.get_close_matches(name.strip().casefold(), self._by_key, n=1)
            hint = f"did you mean {self._by_key[near[0]].name!r}? " if near else ""
            raise UnknownStyleError(
                f"unknown style {name!r}; {hint}there are: {', '.join(self.names) or 'none'}"
            )
        return style


def load(path: Path = BUILT_IN) -> Styles:
    """Read a file of styles; raises StylesError that names file, line or entry, and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StylesError(f"cannot read the styles in {path}: {error}") from error
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise StylesError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise StylesError(f"{path}{_line_of(text, str(error))}: {error}") from error
    keys = [style.name.casefold() for style in file.style]
    for key in keys:
        if keys.count(key) > 1 or key == CUSTOM:
            raise StylesError(
                f"{path}: the style name {key!r} is {'taken' if key == CUSTOM else 'there twice'}"
            )
    return Styles(file.style)


def _line_of(text: str, message: str) -> str:
    """Return ", line N" of the entry that msgspec's message speaks of ("$.style[2].steps"), if it does."""
    found = re.search(r"\$\.style\[(\d+)\]", message)
    starts = [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == "[[style]]"]
    if not found or int(found[1]) >= len(starts):
        return ""
    return f", entry at line {starts[int(found[1])]}"
