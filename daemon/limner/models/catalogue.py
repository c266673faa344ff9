"""All models: those that come with Limner, and the user's own, one TOML file each."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.models.entry import Entry, entry_from
from limner.models.errors import CatalogueError, UnknownModelError
from limner.models.paths import BUILT_IN, own_catalogue

AUTO = "auto"
"""The model that suits this machine's card best, of those that are here; else pocket."""
IN_THE_BOX = ("pocket", "echo", AUTO)
"""Engines that need no files: names that no model may have."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Catalogue:
    """Models by name, in the order to show them, and the files that could not be read."""

    entries: dict[str, Entry]
    problems: dict[str, CatalogueError] = field(default_factory=dict)
    """By the name that the model would have."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def find(self, name: str) -> Entry:
        """Return the model of this name; raises UnknownModelError, CatalogueError for a faulty file."""
        if name in self.problems:
            raise self.problems[name]
        if name not in self.entries:
            near = difflib.get_close_matches(name, self.entries, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UnknownModelError(f"unknown model {name!r}; {hint}there are: {', '.join(self.entries)}")
        return self.entries[name]


def load(built_in: Path = BUILT_IN, own: Path | None = None) -> Catalogue:
    """Read all models. A faulty file is a problem of its model only, and never takes the others away."""
    files = {path.stem: path for path in _toml_files(built_in)}
    own_files = {path.stem: path for path in _toml_files(own_catalogue() if own is None else own)}
    entries: dict[str, Entry] = {}
    problems: dict[str, CatalogueError] = {}
    for name in files | own_files:
        try:
            entries[name] = _read(name, files, own_files)
        except CatalogueError as error:
            problems[name] = error
    return Catalogue(entries, problems)


def _toml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"), key=lambda path: path.stem)


def _read(name: str, built_in: Mapping[str, Path], own: Mapping[str, Path]) -> Entry:
    source = own.get(name) or built_in[name]
    if not _NAME.fullmatch(name) or name in IN_THE_BOX:
        raise CatalogueError(
            f"{source}: {name!r} cannot be a model's name; call the file something else, in lower case,"
            f" with digits and - . _ (and not {' or '.join(IN_THE_BOX)})"
        )
    table = _with_base(source, built_in, own)
    return entry_from(table, name, source, is_own=name in own)


def _with_base(
    source: Path, built_in: Mapping[str, Path], own: Mapping[str, Path], above: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the file's table over that of the model that it names as its base."""
    table = _read_toml(source)
    base, without = table.pop("base", None), table.pop("without", [])
    if base is None:
        return table
    # A user's wan-1.3b.toml may build on the built-in wan-1.3b.
    there = [path for path in (own.get(base), built_in.get(base)) if path and path not in (source, *above)]
    if not there:
        raise CatalogueError(f"{source}: base is {base!r}, which is no other model")
    below = _with_base(there[0], built_in, own, (source, *above))
    for part in without:
        if below.get("parts", {}).pop(part, None) is None:
            raise CatalogueError(f"{source}: without names {part!r}, which {base} has not")
    return _over(below, table)


def _over(below: Any, above: Any, path: str = "") -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        # A part is replaced as a whole, and so is a table of another kind: their keys have nothing in common.
        tables = isinstance(old, Mapping) and isinstance(value, Mapping) and path != "parts"
        merged[key] = _over(old, value, key) if tables and _same_kind(old, value) else value
    return merged


def _same_kind(old: Any, new: Any) -> bool:
    return bool(new.get("kind", old.get("kind")) == old.get("kind"))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"cannot read the model in {path}: {error}") from error
