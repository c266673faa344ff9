"""The file of styles and rules: read, checked, and every fault named with its line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from limner.daemon.faults import explain, path_of
from limner.daemon.rulebook import Rule
from limner.daemon.style_lines import line_of
from limner.daemon.styles import CUSTOM, Entry, StyleName, Styles, key_of, merged
from limner.models.paths import config_dir

LOOKS = Path(__file__).with_name("looks")
_PLACE_LAST = re.compile(r"^(.*) - at `\$\.?([^`]*)`$", re.DOTALL)
MAX_FILE_BYTES = 4 * 2**20


class StylesError(Exception):
    """A file of styles that cannot be used; the message names the file, the place and the fault."""


class StyleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file may hold."""

    order: list[StyleName] = []
    """These styles come first, in this order."""
    hide: list[StyleName] = []
    """These are not to be shown."""
    # With those in the box, they must fit into the filter's list (plugin/src/protocol.h, MAX_STYLES).
    styles: Annotated[list[Entry], Meta(max_length=200)] = []
    rules: Annotated[list[Rule], Meta(max_length=200)] = []


def own_file() -> Path:
    """Return where the user's own styles and rules are."""
    return config_dir() / "styles.toml"


def built_in(engine: str = "pocket") -> Path:
    """Return the file of the styles that come for an engine: pocket knows few words, other models prose."""
    if engine == "echo" or ":" in engine:
        engine = "pocket"
    chosen = LOOKS / f"{engine}.toml"
    return chosen if chosen.exists() else LOOKS / "prose.toml"


def load(path: Path = LOOKS / "pocket.toml", *, own: Path | None = None) -> Styles:
    """Read a file of styles, and lay the user's `own` over it if that exists; raises StylesError."""
    styles, _ = read(path)
    # What comes with Limner is nobody's own.
    box = Styles(msgspec.structs.replace(style, is_own=False) for style in styles)
    return read(own, box)[0] if own is not None and own.exists() else box


def loras_together() -> list[list[str]]:
    """Return the names of the LoRAs that the user's styles paint with, of each style that has some.

    None of a file that cannot be used: whoever paints with it is told why.
    """
    try:
        styles = load(own=own_file())
    except StylesError:
        return []
    return [[lora.name for lora in style.lora] for style in styles if style.lora]


def read(path: Path, under: Styles | None = None) -> tuple[Styles, StyleFile]:
    """Read a file that lies over the styles `under`; raises StylesError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StylesError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB: that is no file of styles")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StylesError(f"cannot read the styles in {path}: {error}") from error
    return parse(text, path, under or Styles([]))


def parse(text: str, path: Path, under: Styles) -> tuple[Styles, StyleFile]:
    """Return all styles and what the file says; raises StylesError that names file, line and key."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StylesError(f"{path}: {error}") from error
    try:
        file = msgspec.convert(table, StyleFile)
    except msgspec.ValidationError as error:
        fault = str(error)
        words = _PLACE_LAST.sub(r"\2: \1", explain(fault, StyleFile, table))
        raise _at(path, text, path_of(fault), words) from error
    _check_names(file, under, lambda place, fault: _at(path, text, place, fault))
    return merged(under, file.styles, order=file.order, hide=file.hide), file


def _check_names(
    file: StyleFile, under: Styles, fault: Callable[[Sequence[str | int], str], StylesError]
) -> None:
    # A file serves all models: what another one's box has may be spoken of.
    known = {key_of(name) for name in under.names} | _in_any_box()
    seen: set[str] = set()
    for number, entry in enumerate(file.styles):
        key = key_of(entry.name)
        if key in seen or key in ("", CUSTOM):
            why = "there twice" if key in seen else "taken" if key else "only spaces"
            raise fault(["styles", number, "name"], f"the style name {entry.name!r} is {why}")
        seen.add(key)
        if key not in known and entry.prompt is None and not entry.mix:
            what = f"the style {entry.name!r} is new and needs a prompt or a mix"
            raise fault(["styles", number], what)
    known |= seen
    for what in ("order", "hide"):
        for name in getattr(file, what):
            if key_of(name) not in known:
                raise fault(
                    [what], f"{what} names {name!r}, which is no style; {under.near(name)}".rstrip("; ")
                )


@cache
def _in_any_box() -> frozenset[str]:
    tables = [tomllib.loads(box.read_text(encoding="utf-8")) for box in LOOKS.glob("*.toml")]
    return frozenset(key_of(entry["name"]) for table in tables for entry in table["styles"])


def _at(path: Path, text: str, place: Sequence[str | int], fault: str) -> StylesError:
    line = line_of(text, place)
    return StylesError(f"{path}, line {line}: {fault}" if line else f"{path}: {fault}")
