"""Faults of a message in words: which field, what it is, and what it must be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

# "Expected `int` <= 4 - at `$.change.steps`", as msgspec says it. It says "[...]" for the value of a dict:
# nobody can tell which.
_PLACE = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)
_PART = re.compile(r"\[([0-9]{1,9})\]|([^.\[\]]+)")
_LONGEST_SHOWN = 60

_Path = list[str | int]


def path_of(fault: str) -> list[str | int]:
    """Return where the value is that msgspec's `fault` speaks of; of an unknown key, the key itself."""
    place = _PLACE.match(fault)
    path = _parts(place["path"]) if place else []
    unknown = _UNKNOWN_KEY.match(place["what"] if place else fault)
    return [*path, unknown["key"]] if unknown else path


def explain(fault: str, kind: type, value: object) -> str:
    """Return msgspec's `fault` of `value`, which was to be a `kind`, with field, value and range in it.

    What it cannot explain it returns as it is.
    """
    place = _PLACE.match(fault)
    what, path_text = (place["what"], place["path"]) if place else (fault, "")
    path = _parts(path_text)
    if "[...]" in path_text:
        return fault
    try:
        value, hint = _value_at(value, path), _type_at(kind, path)
    except LookupError:
        return fault
    unknown, base = _UNKNOWN_KEY.match(what), _bare(hint)[0]
    if unknown:
        # A key may look like a place itself: then this is not the map that has it.
        is_map = isinstance(base, type) and issubclass(base, msgspec.Struct)
        return _unknown_key(unknown["key"], path_text, base) if is_map else fault
    wanted = must_be(hint)
    return f"{path_text} {_shown(value)}; it must be {wanted}" if path and wanted else fault


def _parts(path_text: str) -> _Path:
    return [int(index) if index else name for index, name in _PART.findall(path_text)]


def must_be(kind: Any) -> str:
    """Return in words what a value of this type must be: "a whole number from 1 to 4"; "": nothing to say."""
    base, metas = _bare(kind)
    if get_origin(base) is Literal:
        return f"one of {', '.join(get_args(base))}"
    if base in (int, float):
        return " ".join(["a whole number" if base is int else "a number", *_range(metas)])
    most = next((meta.max_length for meta in metas if meta.max_length is not None), None)
    if base is str:
        words = "text" if most is None else f"text of at most {most} characters"
        return words + (" without NUL" if any(meta.pattern for meta in metas) else "")
    if get_origin(base) is tuple:
        return f"a list of {len(get_args(base))}"
    if get_origin(base) is list or base is bool:
        length = "" if most is None else f" of at most {most}"
        return "true or false" if base is bool else f"a list{length}"
    return ""


def _range(metas: list[msgspec.Meta]) -> Iterator[str]:
    for meta in metas:
        if meta.multiple_of is not None:
            yield f"in steps of {meta.multiple_of}"
        if meta.ge is not None and meta.le is not None:
            yield f"from {meta.ge:g} to {meta.le:g}" if meta.le < 1e6 else f"from {meta.ge} to {meta.le}"
        elif meta.ge is not None:
            yield f"of at least {meta.ge}"
        elif meta.gt is not None:
            yield f"above {meta.gt}" + ("" if meta.le is None else f", at most {meta.le}")


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return f"has {len(value)} characters"
    if isinstance(value, list):
        return f"has {len(value)} entries"
    if isinstance(value, dict):
        return "is a map"
    text = "nil" if value is None else repr(value)
    return f"is {text if len(text) <= 2 * _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}"


def _unknown_key(key: str, where: str, kind: type[msgspec.Struct]) -> str:
    known = [name for name in kind.__struct_fields__ if name != "v"]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    inside = f" in {where}" if where else ""
    return f"unknown key {key[:_LONGEST_SHOWN]!r}{inside}; {hint}there are: {', '.join(known) or 'none'}"


def _value_at(value: object, path: _Path) -> object:
    for part in path:
        if not isinstance(value, list if isinstance(part, int) else dict):
            raise LookupError(part)
        value = cast(Any, value)[part]
    return value


def _type_at(kind: Any, path: _Path) -> Any:
    for part in path:
        base, _ = _bare(kind)
        kind = get_args(base)[0] if isinstance(part, int) else get_type_hints(base, include_extras=True)[part]
    return kind


def _bare(kind: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Return a type without what says more of it (and without nil), and its Metas."""
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        base, more = _bare(inner)
        return base, [*metas, *more]
    parts = [part for part in get_args(kind) if part is not type(None)]
    if len(parts) == 1 and type(None) in get_args(kind):
        return _bare(parts[0])
    return kind, []
