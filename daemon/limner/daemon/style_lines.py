"""Where things are in the text of a TOML file: lines count from 1, blocks are ranges of line indices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_HEADER = re.compile(r"^\s*\[\[?\s*([\w.\" -]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*[.=]""")
_LONG_STRINGS = ('"""', "'''")


@dataclass(frozen=True)
class Block:
    """Lines `start` up to `end` (not included) of one [[name]] entry, with the tables inside it."""

    name: str
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """Return the [[name]] entries and [name] tables of a file, in its order; what is before is none of them.

    Comments and blank lines directly before a header belong to it, not to the block above.
    """
    lines = text.splitlines()
    heads = [
        (index, found[1].strip('" '))
        for index, line in _plain(lines)
        if (found := _HEADER.match(line)) and "." not in found[1]
    ]
    ends = [_above(lines, start) for start, _ in heads[1:]] + [len(lines)]
    return [Block(name, start, end) for (start, name), end in zip(heads, ends, strict=False)]


def line_of(text: str, place: Sequence[str | int]) -> int:
    """Return the line of ["styles", 2, "steps"], or of what is nearest to it; 0: nobody knows."""
    if not place:
        return 0
    name, *rest = place
    lines = text.splitlines()
    own = [block for block in blocks(text) if block.name == name]
    if not rest or not isinstance(rest[0], int) or rest[0] >= len(own):
        return _key_line(lines, str(name), 0, len(lines)) or (own[0].start + 1 if own else 0)
    block = own[rest[0]]
    keys = [part for part in rest[1:] if isinstance(part, str)]
    for key in reversed(keys):
        if line := _key_line(lines, key, block.start, block.end):
            return line
    return block.start + 1


def _key_line(lines: list[str], key: str, start: int, end: int) -> int:
    for index, line in _plain(lines):
        found = _KEY.match(line) if start <= index < end else None
        if found and key in found.groups():
            return index + 1
    return 0


def _plain(lines: list[str]) -> list[tuple[int, str]]:
    """Return the lines that do not begin inside a string of several lines, with their index."""
    plain, inside = [], ""
    for index, line in enumerate(lines):
        if not inside:
            plain.append((index, line))
        inside = _still_inside(line, inside)
    return plain


def _still_inside(line: str, inside: str) -> str:
    """Return the quotes of the long string that goes on after this line, if one does."""
    rest = line
    while rest:
        if inside:
            _, quotes, rest = rest.partition(inside)
            if not quotes:
                return inside
            inside = ""
            continue
        begins = [(at, quotes) for quotes in _LONG_STRINGS if (at := rest.find(quotes)) >= 0]
        if not begins or 0 <= rest.find("#") < min(begins)[0]:
            return ""
        at, inside = min(begins)
        rest = rest[at + 3 :]
    return inside


def _above(lines: list[str], header: int) -> int:
    """Return where the comments and blank lines directly above a header begin."""
    while header and (not lines[header - 1].strip() or lines[header - 1].lstrip().startswith("#")):
        header -= 1
    return header
