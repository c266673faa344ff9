"""Where the config and the weights of a model are, by its name. No torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import limner.pocket
from limner.models import catalogue
from limner.models.entry import PartName
from limner.models.store import Store

POCKET = "pocket"
_FOLDER = Path(limner.pocket.__file__).parent
CONFIG = _FOLDER / "pocket.toml"
WEIGHTS = _FOLDER / "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model before it is loaded."""

    name: str
    table: Mapping[str, Any]
    """Of the engine's ModelConfig."""
    origin: Path
    """The TOML file that the table is from, to be named in errors."""
    paths: Mapping[PartName, Path]
    """The file or folder of each part; all weights in one: `weights`."""
    dit_key: str | None = None
    """Under which key of its file the denoiser is; None: the usual ones."""


def find_model(name: str) -> ModelSource:
    """Return where a model is; UnknownModelError, CatalogueError or StoreError say what is in the way."""
    if name == POCKET:
        table = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
        return ModelSource(name=name, table=table, origin=CONFIG, paths={"weights": WEIGHTS})
    entry = catalogue.load().find(name)
    dit = entry.parts.get("dit")
    return ModelSource(
        name=name,
        table=entry.engine,
        origin=entry.source,
        paths=Store().paths(entry),
        dit_key=(dit.key or None) if dit else None,
    )
