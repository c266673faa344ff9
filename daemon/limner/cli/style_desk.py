"""What the commands of `limner styles` do with the user's file. Every fault is a CliError."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from limner.cli.errors import CliError
from limner.daemon import style_edit
from limner.daemon.client import Client, ClientError
from limner.daemon.faults import explain
from limner.daemon.saved import SavedError
from limner.daemon.saved import read as read_saved
from limner.daemon.style_file import StyleFile, StylesError, built_in, load, own_file, parse, read
from limner.daemon.styles import CUSTOM, Entry, Style, Styles, UnknownStyleError, key_of
from limner.models.catalogue import AUTO


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (StylesError, UnknownStyleError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"cannot write {error.filename or own_file()}: {error.strerror}") from error


@cache
def in_the_box() -> Styles:
    """Return the styles for the model of the running daemon, else for the chosen one."""
    return load(built_in(_model()))


def _model() -> str:
    try:
        with Client() as client:
            if model := client.query().worker.model:
                return model
    except ClientError:
        pass
    try:
        chosen = read_saved().engine
    except SavedError:
        chosen = None
    return "pocket" if chosen in (None, AUTO) else chosen


def unknown_styles(styles: Styles, file: StyleFile) -> list[str]:
    """Return a sentence for each rule that names a style that is not there."""
    return [
        f"rule {number}: there is no style {rule.style!r}; {styles.near(rule.style)}there are: "
        + ", ".join(styles.names)
        for number, rule in enumerate(file.rules, 1)
        if rule.style not in (None, "", CUSTOM) and styles.get(rule.style) is None
    ]


def known() -> tuple[Styles, str]:
    """Return all styles, and what is wrong with the user's file (then they are those in the box)."""
    box = in_the_box()
    try:
        return (read(own_file(), box)[0] if own_file().exists() else box), ""
    except StylesError as error:
        return box, str(error)


def own() -> tuple[Styles, StyleFile]:
    """Return all styles and what the user's file says."""
    with _explained():
        return parse(_text(), own_file(), in_the_box())


def find(name: str) -> Style:
    """Return a style."""
    with _explained():
        return own()[0].find(name)


def add(name: str, values: Mapping[str, Any]) -> None:
    """Write a new style."""
    styles, _ = own()
    if there := styles.get(name):
        raise CliError(f"there is a style {there.name!r}; change it with: limner styles edit {there.name!r}")
    entry = _entry({"name": name, **values})
    _rewrite(lambda text: style_edit.added(text, entry))


def edit(name: str, values: Mapping[str, Any], without: Sequence[str]) -> None:
    """Change a style; what the user's file does not have yet it gets."""
    style = find(name)
    unknown = [key for key in without if key not in Entry.__struct_fields__ or key == "name"]
    if unknown:
        keys = ", ".join(key for key in Entry.__struct_fields__ if key != "name")
        raise CliError(f"--unset {unknown[0]!r} is no key of a style; there are: {keys}")
    entry = _entry({"name": style.name, **values})
    # A prompt stands instead of a mix, and a mix instead of a prompt.
    other = {"prompt": "mix", "mix": "prompt"}
    gone = [*without, *(other[key] for key in other if key in values and other[key] not in values)]

    def change(text: str) -> str:
        if style_edit.has(text, name):
            return style_edit.edited(text, name, values, without=gone)
        return style_edit.added(text, entry)

    _rewrite(change)


def remove(name: str) -> bool:
    """Take a style out of the user's file; True: the one in the box is there again."""
    style = find(name)
    with _explained():
        if not style_edit.has(_text(), name):
            raise CliError(
                f"{style.name!r} comes with Limner; to hide it, write at the top of {own_file()}: "
                f'hide = ["{style.name}"]'
            )
    _rewrite(lambda text: style_edit.removed(text, name))
    return in_the_box().get(name) is not None


def import_from(path: Path, *, replace: bool) -> list[str]:
    """Copy the styles of a file, and return their names."""
    styles, _ = own()
    with _explained():
        _, file = read(path, in_the_box())
    mine = {key_of(style.name) for style in styles if style.is_own}
    taken = [entry.name for entry in file.styles if key_of(entry.name) in mine]
    if taken and not replace:
        raise CliError(f"you have a style {taken[0]!r} already; --replace takes the one of {path}")

    def change(text: str) -> str:
        for name in taken:
            text = style_edit.removed(text, name)
        for entry in file.styles:
            text = style_edit.added(text, entry)
        return text

    _rewrite(change)
    return [entry.name for entry in file.styles]


def export(names: Sequence[str]) -> str:
    """Return styles (none named: the user's own), whole, as a file."""
    styles, _ = own()
    chosen = [find(name) for name in names] or [style for style in styles if style.is_own]
    if not chosen:
        raise CliError("you have no style of your own; name those to export")
    return style_edit.exported([_whole(style) for style in chosen])


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet."""
    with _explained():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise CliError(f"{path} is there already; choose another name") from None


def _whole(style: Style) -> Entry:
    values = {name: getattr(style, name) for name in Entry.__struct_fields__}
    return Entry(**{name: value for name, value in values.items() if value not in (None, "", [])})


def _entry(values: Mapping[str, Any]) -> Entry:
    try:
        return msgspec.convert(values, Entry)
    except msgspec.ValidationError as error:
        raise CliError(explain(str(error), Entry, dict(values))) from error


def _text() -> str:
    try:
        return own_file().read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StylesError(f"cannot read {own_file()}: {error}") from error


def _rewrite(change: Callable[[str], str]) -> None:
    """Change the user's file; what would not be right is not written."""
    with _explained():
        text = change(_text())
        parse(text, own_file(), in_the_box())
        style_edit.save(own_file(), text)
