"""Configs: what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import limner.pocket
from limner.engine.config import ModelConfig, TextConfig
from limner.engine.errors import ConfigError
from limner.engine.noise import NoiseConfig
from limner.engine.schedule import ScheduleConfig


def table() -> dict[str, Any]:
    return {
        "name": "tiny",
        "vae": {"latent_channels": 8},
        "text": {"dim": 8, "words": ["oil"]},
        "dit": {"latent_channels": 8, "dim": 32, "ffn_dim": 32, "heads": 2, "layers": 1, "text_dim": 8},
        "sizes": [[320, 192]],
        "noise": {"kind": "static"},
    }


def changed(key: str, value: Any) -> dict[str, Any]:
    whole = table()
    *path, last = key.split(".")
    inner = whole
    for part in path:
        inner = inner.setdefault(part, {})
    inner[last] = value
    return whole


def test_reads_nested_tables() -> None:
    config = ModelConfig.from_table(table())
    assert config.dit.head_dim == 16
    assert config.sizes == ((320, 192),)
    assert isinstance(config.text, TextConfig) and config.text.words == ("oil",)
    assert (config.size_multiple, config.frames_per_chunk) == (16, 4)


def test_pocket_is_a_good_config() -> None:
    folder = Path(limner.pocket.__file__).parent
    config = ModelConfig.from_toml(folder / "pocket.toml")
    assert config.name == "pocket" and config.noise.kind == "static"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("colour", 1, "unknown key colour"),
        ("dit.wings", 2, "unknown key dit.wings"),
        ("noise.kind", "loud", "loud|kind"),
        ("noise.motion_full", 0.0, "noise.motion_full"),
        ("noise.motion_still", 0.2, "noise.motion_still is 0.2"),
        ("noise.motion_still", float("nan"), "noise.motion_still is nan"),
        ("noise.motion_full", float("nan"), "noise.motion_full is nan"),
        ("dit.dim", "wide", "dit.dim"),
        ("dit.dim", 33, "dit.dim is 33"),
        ("dit.latent_channels", 4, "latent_channels"),
        ("text.dim", 16, "text.dim is 16"),
        ("vae.latent_channels", 0, "latent_channels"),
        ("vae.kind", "jpeg", "vae.kind is 'jpeg'; it must be one of pocket"),
        ("text.kind", [], "text.kind is"),
        ("schedule.shift", 0.0, "schedule.shift is 0.0"),
        ("schedule.timesteps", [700, 500], "schedule.timesteps"),
        ("schedule.timesteps", [200, 400, 500, 700], "schedule.timesteps"),
        ("schedule.timesteps", [1200, 400, 300, 200], "schedule.timesteps"),
        ("schedule.offset", -0.1, "schedule.offset"),
        ("schedule.default_strength", 2.0, "schedule.default_strength"),
        ("sizes", [[320, 180]], "320x180"),
        ("default_size", [320], "default_size"),
        ("latent_frames_per_chunk", 9, "latent_frames_per_chunk is 9"),
        ("name", "", "name"),
        ("dit", 3, "dit"),
    ],
)
def test_what_is_wrong_is_named(key: str, value: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ModelConfig.from_table(changed(key, value))


def test_a_missing_key_is_named() -> None:
    whole = table()
    del whole["dit"]["heads"]
    with pytest.raises(ConfigError, match="heads"):
        ModelConfig.from_table(whole)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"name = 'x'\nwings = 2\n"])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.toml"):
        ModelConfig.from_toml(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        ModelConfig.from_toml(tmp_path / "none.toml")


def test_defaults_are_allowed_to_stand_alone() -> None:
    assert ScheduleConfig().timesteps == ()
    assert NoiseConfig().kind == "fresh"
