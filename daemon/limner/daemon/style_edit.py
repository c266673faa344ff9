"""Changes to the text of a file of styles that leave comments and order as they are. Text in, text out.

An entry is cut out of the file by its lines and edited by itself, so nothing else can be harmed. Each
function returns the new text, checked to say what was meant; StylesError is raised for a file that it cannot
edit.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomlkit

from limner.daemon.style_file import StylesError
from limner.daemon.style_lines import Block, blocks
from limner.daemon.styles import Entry, key_of

_TABLE = "styles"
HEAD = """# Your own styles and rules for Limner. What is here adds to the styles in the box, or changes them.
# `limner styles --help` and `limner rules --help` say what can be done with it.
"""


def added(text: str, entry: Entry) -> str:
    """Append a style behind the last one."""
    lines = (text or HEAD).splitlines(keepends=True)
    own = _own(text)
    end = own[-1].end if own else len(lines)
    if lines and not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    new = [*lines[:end], "\n", _as_text(_values(entry)), *lines[end:]]
    return _checked("".join(new), [*_entries(text), _values(entry)])


def edited(text: str, name: str, values: Mapping[str, Any], *, without: Sequence[str] = ()) -> str:
    """Change keys of a style that the file has, and take out those in `without`."""
    number = _number_of(text, name)
    block = _own(text)[number]
    lines = text.splitlines(keepends=True)
    document = tomlkit.parse("".join(lines[block.start : block.end]))
    table = document[_TABLE][0]
    for key in without:
        if key in table:
            table.remove(key)
    for key, value in values.items():
        table[key] = value
    changed = tomlkit.dumps(document)
    expected = _entries(text)
    kept = {key: value for key, value in expected[number].items() if key not in without}
    expected[number] = kept | dict(values)
    return _checked("".join([*lines[: block.start], changed, *lines[block.end :]]), expected)


def removed(text: str, name: str) -> str:
    """Take a style out. A comment above it stays."""
    number = _number_of(text, name)
    block = _own(text)[number]
    lines = text.splitlines(keepends=True)
    expected = _entries(text)
    del expected[number]
    return _checked("".join([*lines[: block.start], *lines[block.end :]]), expected)


def exported(entries: Sequence[Entry]) -> str:
    """Return a file of these styles."""
    return "\n".join(_as_text(_values(entry)) for entry in entries)


def has(text: str, name: str) -> bool:
    """Whether the file itself speaks of a style."""
    return any(key_of(entry["name"]) == key_of(name) for entry in _entries(text))


def save(path: Path, text: str) -> None:
    """Write the file in one step, so that nobody reads a half; a link goes on pointing where it did."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _values(entry: Entry) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(entry)
    return values


def _as_text(values: Mapping[str, Any]) -> str:
    lines = [f"{key} = {_item(value)}" for key, value in values.items()]
    return "\n".join([f"[[{_TABLE}]]", *lines]) + "\n"


def _item(value: Any) -> str:
    """Return a value as TOML, tables and all in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_item(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_item(one) for one in value) + "]"
    return str(tomlkit.item(value).as_string())


def _own(text: str) -> list[Block]:
    return [block for block in blocks(text) if block.name == _TABLE]


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = tomllib.loads(text).get(_TABLE, [])
    except tomllib.TOMLDecodeError as error:
        raise StylesError(f"the file is no TOML: {error}; repair it first") from error
    return found


def _number_of(text: str, name: str) -> int:
    return next(n for n, entry in enumerate(_entries(text)) if key_of(entry["name"]) == key_of(name))


def _checked(text: str, expected: list[dict[str, Any]]) -> str:
    """Return the text if it says what was meant: a file written in an unusual way is better left alone."""
    try:
        if _entries(text) == expected:
            return text
    except StylesError:
        pass
    raise StylesError("the file is written in a way that only its author can edit; use an editor")
