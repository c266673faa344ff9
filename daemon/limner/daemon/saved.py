"""What the user wants of every daemon: config.toml in the user's settings folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

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
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Saved)
    except FileNotFoundError:
        return Saved()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SavedError(f"{path}: {error}; correct it, or remove it") from error


def save_engine(engine: str, path: Path | None = None) -> Path:
    """Choose an engine for every daemon; the rest of the file stays as the user wrote it. Return the file."""
    import tomlkit  # noqa: PLC0415  (only who chooses needs it)

    path = saved_file() if path is None else path
    read(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    document["engine"] = engine
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(tomlkit.dumps(document), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise SavedError(f"cannot write {path}: {error.strerror}") from error
    return path
