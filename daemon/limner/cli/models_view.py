"""Models as people see them in a terminal."""

from __future__ import annotations

import msgspec
from rich.table import Table

from limner.cli.console import out
from limner.models.entry import Entry
from limner.models.store import State, Store
from limner.models.words import size


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list."""

    name: str
    title: str
    presence: str
    about_bytes: int
    """Approximate, of all files."""
    size_bytes: int
    """On this machine."""
    is_own: bool

    @classmethod
    def of(cls, entry: Entry, state: State) -> Row:
        """Return the line of a model."""
        return cls(
            name=entry.name,
            title=entry.title,
            presence=state.presence,
            about_bytes=entry.about_bytes,
            size_bytes=state.size_bytes,
            is_own=entry.is_own,
        )


POCKET = Row(
    name="pocket",
    title="The model that comes in the box: live on two CPU cores",
    presence="here",
    about_bytes=0,
    size_bytes=0,
    is_own=False,
)
_PRESENCE = {"here": "yes", "missing": "no", "partial": "not all of it", "damaged": "damaged"}


class PartDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a model, for `show`."""

    part: str
    source: str
    about_bytes: int
    licence: str
    is_optional: bool
    is_here: bool


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """All of a model, for `show`."""

    name: str
    title: str
    about: str
    licence: str
    file: str
    folder: str
    presence: str
    sentence: str
    parts: list[PartDetails]
    engine: dict[str, object]


def table(rows: list[Row], chosen: str) -> Table:
    """Return the list of models. `chosen`: what a daemon paints with that is told nothing else."""
    grid = Table(box=None, pad_edge=False)
    for heading in ("", "Model", "What it is", "Size", "Here"):
        grid.add_column(heading, overflow="fold")
    for row in rows:
        known = size(row.size_bytes) if row.presence == "here" else f"about {size(row.about_bytes)}"
        in_box = row.name == POCKET.name
        mark = "*" if row.name == chosen else ""
        grid.add_row(mark, row.name, row.title, "–" if in_box else known, _PRESENCE[row.presence])
    return grid


def details(entry: Entry, store: Store) -> Details:
    """Return all that is known of a model."""
    state = store.state(entry)
    parts = [
        PartDetails(
            part=name,
            source=part.path
            or f"{part.repository}: {', '.join(f'{part.folder}/{f}'.lstrip('/') for f in part.files)}",
            about_bytes=part.about_bytes,
            licence=part.licence or entry.licence,
            is_optional=not entry.needs(name),
            is_here=state.presence != "missing" and store.has(entry, name),
        )
        for name, part in entry.parts.items()
    ]
    return Details(
        name=entry.name,
        title=entry.title,
        about=entry.about,
        licence=entry.licence,
        file=str(entry.source),
        folder=str(store.folder(entry.name)),
        presence=state.presence,
        sentence=state.sentence,
        parts=parts,
        engine=entry.engine,
    )


def print_details(entry: Entry, store: Store) -> None:
    """Print all that is known of a model."""
    known, console = details(entry, store), out()
    for line in (f"{known.name}: {known.title}", known.about, f"Licence: {known.licence}"):
        if line:
            console.print(line, markup=False)
    console.print(f"Described in {known.file}; files in {known.folder}", markup=False, soft_wrap=True)
    grid = Table(box=None, pad_edge=False)
    for heading in ("Part", "From", "Size", "Here"):
        grid.add_column(heading, overflow="fold")
    for part in known.parts:
        name = f"{part.part} (optional)" if part.is_optional else part.part
        about = f"about {size(part.about_bytes)}" if part.about_bytes else "–"
        grid.add_row(name, part.source, about, "yes" if part.is_here else "no")
    console.print(grid)
    console.print(known.sentence, markup=False, soft_wrap=True)
