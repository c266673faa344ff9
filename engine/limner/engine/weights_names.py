"""How a weights file spells the names of a module's tensors. Pure: names in, names out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

WRAPPERS = frozenset({"_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "module"})
"""Segments that training leaves in names: sharding, checkpointing, compiling, data-parallel."""

_MOST_NAMED = 3


def _same(name: str) -> str:
    return name


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """What the names of one file mean."""

    label: str = ""
    """Whose names they are, for errors; empty for the module's own."""
    ours: Mapping[str, str]
    """Name in the file → name in the module. A name of the file that is not here is known to do nothing."""
    theirs: Callable[[str], str] = _same
    """Name in the module → how this file would spell it, for errors."""


Naming = Callable[[Collection[str]], Spelling]
"""All names of a file → what they mean."""


def as_they_are(names: Collection[str]) -> Spelling:
    """The file has the module's own names."""
    return Spelling(ours={name: name for name in names})


def unwrapped(name: str) -> str:
    """A name without the segments of WRAPPERS."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def without_prefix(names: Collection[str], prefixes: Collection[str]) -> dict[str, str]:
    """Each name → itself without WRAPPERS and without the prefixes that all names have in common."""
    short = {name: unwrapped(name) for name in names}
    while short:
        common = [p for p in prefixes if all(name.startswith(p) for name in short.values())]
        if not common:
            break
        short = {name: rest.removeprefix(common[0]) for name, rest in short.items()}
    return short


def named(keys: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    first = ", ".join(sorted(keys)[:_MOST_NAMED])
    return f"{first} and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else first
