"""What the user wants of every daemon: config.toml in the user's settings folder."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from limner.daemon.config import DaemonConfig
from limner.daemon.faults import explain
from limner.models.catalogue import AUTO
from limner.models.paths import config_dir
from limner.models.plan_choice import Wishes


class SavedError(Exception):
    """config.toml cannot be used; the message names the file and the key."""


class Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a daemon is started with where the command does not say. None: not chosen."""

    engine: str | None = None
    device: str | None = None
    threads: int | None = None
    memory: Wishes | None = None
    """What of the plan for the GPU's memory is pinned."""


def saved_file() -> Path:
    """Return where the user's choices are."""
    return config_dir() / "config.toml"


def read(path: Path | None = None) -> Saved:
    """Return the user's choices; SavedError when the file cannot be used."""
    path = saved_file() if path is None else path
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Saved()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SavedError(f"{path}: {error}; correct it, or remove it") from error
    try:
        return msgspec.convert(table, Saved)
    except msgspec.ValidationError as error:
        raise SavedError(f"{path}: {explain(str(error), Saved, table)}; correct it, or remove it") from error


def check(saved: Saved, *, but: Collection[str] = ()) -> None:
    """Raise SavedError where no daemon starts with a choice. `but`: those that a command overrides."""
    for name in ("engine", "device", "threads"):
        value: Any = getattr(saved, name)
        if value in (None, AUTO) or name in but:
            continue
        try:
            DaemonConfig(**{name: value})
        except ValueError as error:
            raise SavedError(f"{saved_file()}: {error}") from error


def save_engine(engine: str, path: Path | None = None) -> Path:
    """Choose an engine for every daemon; the rest of the file stays as the user wrote it. Return the file."""
    import tomlkit  # noqa: PLC0415  (only who chooses needs it)

    path = saved_file() if path is None else path
    read(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    document["engine"] = engine
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(tomlkit.dumps(document), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SavedError(f"cannot write {path}: {error.strerror}") from error
    return path
