"""Styles: named looks. What one is, how one is found, and how a file's entries lie over those in the box."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from limner.daemon.protocol import (
    MAX_PROMPT_CHARS,
    U32,
    LeastSteps,
    Loras,
    Mix,
    Prompt,
    PromptShare,
    Settings,
    Steadiness,
    Steps,
    Strength,
    TransitionMs,
)

# What a look without a style is called; never the name of a style.
CUSTOM = "custom"
# All names go to each filter in one message.
MAX_STYLE_CHARS = 100
MAX_NOTES_CHARS = 10_000

StyleName = Annotated[str, Meta(min_length=1, max_length=MAX_STYLE_CHARS, pattern="^[^\\x00-\\x1f]*$")]


class UnknownStyleError(Exception):
    """Nobody knows this style; the message suggests the nearest and lists all."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A style as a file has it: what it leaves out is as in the style of this name below it, or a default."""

    name: StyleName
    prompt: Prompt | None = None
    mix: Mix | None = None
    strength: Strength | None = None
    steps: Steps | None = None
    least_steps: LeastSteps | None = None
    seed: U32 | None = None
    transition_ms: TransitionMs | None = None
    steadiness: Steadiness | None = None
    lora: Loras | None = None
    notes: Annotated[str, Meta(max_length=MAX_NOTES_CHARS)] | None = None
    thumbnail: Annotated[str, Meta(max_length=1000)] | None = None


class Style(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One style. Strength 0..1 (0 the source, 1 all invented), steps 1..4."""

    name: StyleName
    prompt: Prompt = ""
    mix: Mix = []
    """Painted instead of the prompt, which then only says in words what it is."""
    strength: Strength = 0.5
    steps: Steps = 1
    least_steps: LeastSteps | None = None
    """None: as it was."""
    seed: U32 | None = None
    """None: as it was."""
    transition_ms: TransitionMs | None = None
    """None: as it was."""
    steadiness: Steadiness | None = None
    """None: as it was."""
    lora: Loras = []
    notes: str = ""
    """For people."""
    thumbnail: str = ""
    """A picture of it: a path, relative to the file of the styles."""
    is_own: bool = False
    """From the user's file, be it only a part of it."""


# The settings that a style may set, besides being the style.
SET_BY_STYLE = tuple(name for name in Settings.__struct_fields__ if name in Style.__struct_fields__)


class Styles:
    """All styles, in the order to show them. Names are matched without regard to case."""

    def __init__(self, styles: Iterable[Style]) -> None:
        self._by_key = {key_of(style.name): style for style in styles}

    def __iter__(self) -> Iterator[Style]:
        return iter(self._by_key.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Styles) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal by content

    @property
    def names(self) -> list[str]:
        """Names, in the order to show them."""
        return [style.name for style in self]

    @property
    def prompts(self) -> list[str]:
        """All that they paint, in their order; of a mix, each of its prompts."""
        shares = [[share.prompt for share in style.mix] or [style.prompt] for style in self]
        return [prompt for prompts in shares for prompt in prompts]

    def get(self, name: str) -> Style | None:
        """Return the style called `name`, if there is one."""
        return self._by_key.get(key_of(name))

    def find(self, name: str) -> Style:
        """Return the style called `name`; raises UnknownStyleError."""
        if (style := self.get(name)) is None:
            raise UnknownStyleError(
                f"unknown style {name!r}; {self.near(name)}there are: {', '.join(self.names) or 'none'}"
            )
        return style

    def near(self, name: str) -> str:
        """Return "did you mean 'Noir'? " for a name that is almost one of these, else nothing."""
        near = difflib.get_close_matches(key_of(name), self._by_key, n=1)
        return f"did you mean {self._by_key[near[0]].name!r}? " if near else ""


def key_of(name: str) -> str:
    """Return what two ways to write the same name have in common."""
    return name.strip().casefold()


def merged(
    below: Styles, entries: Sequence[Entry], *, order: Sequence[str] = (), hide: Sequence[str] = ()
) -> Styles:
    """Lay entries over styles: changed ones stay in their place, new ones follow, `order` comes first.

    An entry without words of its own, of a style that is not below, is for another model's: left out.
    """
    found = {key_of(style.name): style for style in below}
    for entry in entries:
        under = found.get(key_of(entry.name))
        if under or entry.prompt is not None or entry.mix:
            found[key_of(entry.name)] = _laid_over(under, entry)
    first = [key_of(name) for name in order if key_of(name) in found]
    keys = [key for key in dict.fromkeys([*first, *found]) if key not in {key_of(name) for name in hide}]
    return Styles(found[key] for key in keys)


def _laid_over(below: Style | None, entry: Entry) -> Style:
    said = {name: value for name in Entry.__struct_fields__ if (value := getattr(entry, name)) is not None}
    if entry.mix:
        said.setdefault("prompt", joined(entry.mix))
    elif entry.prompt is not None:
        # An own prompt is meant to be seen: not behind the mix of the style below.
        said.setdefault("mix", [])
    return msgspec.structs.replace(below or Style(name=entry.name), **said, is_own=True)


def joined(mix: Sequence[PromptShare]) -> str:
    """Return a mix as one prompt, for whoever shows or keeps only that."""
    return ", ".join(share.prompt for share in mix)[:MAX_PROMPT_CHARS]
