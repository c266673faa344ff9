"""Where models are on this machine: the XDG folders, or what LIMNER_MODELS_DIR says."""

from __future__ import annotations

import os
from pathlib import Path

BUILT_IN = Path(__file__).with_name("builtin")


def models_dir() -> Path:
    """Return the folder of the models' files: LIMNER_MODELS_DIR, else limner/models/ in the data folder."""
    if chosen := os.environ.get("LIMNER_MODELS_DIR"):
        return Path(chosen)
    return _xdg("XDG_DATA_HOME", ".local/share") / "limner" / "models"


def loras_dir() -> Path:
    """Return the folder of the user's LoRAs: LIMNER_LORAS_DIR, else limner/loras/ in the data folder."""
    if chosen := os.environ.get("LIMNER_LORAS_DIR"):
        return Path(chosen)
    return _xdg("XDG_DATA_HOME", ".local/share") / "limner" / "loras"


def config_dir() -> Path:
    """Return the folder of the user's own settings: LIMNER_CONFIG_DIR, else limner/ in the config folder."""
    if chosen := os.environ.get("LIMNER_CONFIG_DIR"):
        return Path(chosen)
    return _xdg("XDG_CONFIG_HOME", ".config") / "limner"


def own_catalogue() -> Path:
    """Return the folder of the user's own models, one TOML file each."""
    return config_dir() / "models"


def state_dir() -> Path:
    """Return the folder of what is remembered between runs and is no setting."""
    if chosen := os.environ.get("LIMNER_STATE_DIR"):
        return Path(chosen)
    return _xdg("XDG_STATE_HOME", ".local/state") / "limner"


def cache_dir() -> Path:
    """Return the folder of what can be made again: embeddings of prompts, compiled kernels."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "limner"


def _xdg(variable: str, default: str) -> Path:
    chosen = os.environ.get(variable, "")
    # The specification says to ignore paths that are not absolute.
    return Path(chosen) if Path(chosen).is_absolute() else Path.home() / default
