"""The config of a model: everything about it that is not a weight. A model is a config plus weights."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from limner.engine.dit.backends import AttentionKernel
from limner.engine.dit.config import DiTConfig
from limner.engine.errors import ConfigError
from limner.engine.noise import NoiseConfig
from limner.engine.parts import TextSizes, VaeSizes
from limner.engine.schedule import ScheduleConfig
from limner.engine.text import TextConfig
from limner.engine.vae import FRAMES_PER_LATENT, SPATIAL_FACTOR, VaeConfig
from limner.engine.wan.taehv_config import TaehvConfig
from limner.engine.wan.text import Umt5Config
from limner.engine.wan.vae_config import WanVaeConfig

__all__ = ["DiTConfig", "ModelConfig", "NoiseConfig", "ScheduleConfig", "TextConfig", "VaeConfig"]

LARGEST_SIDE = 4096

VAES: dict[str, type] = {"pocket": VaeConfig, "wan": WanVaeConfig, "taehv": TaehvConfig}
"""Autoencoders by `vae.kind`; the first is meant where a config names none."""
TEXTS: dict[str, type] = {"words": TextConfig, "umt5": Umt5Config}
"""Text encoders by `text.kind`."""
_TABLES: dict[str, dict[str, type]] = {
    "vae": VAES,
    "text": TEXTS,
    "dit": {"": DiTConfig},
    "schedule": {"": ScheduleConfig},
    "noise": {"": NoiseConfig},
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One model. Checked when built; `from_toml` reads it from the file beside the weights."""

    name: str
    """What people call it. Not empty."""
    vae: VaeSizes
    """The autoencoder: one of `VAES`, which `kind` names."""
    text: TextSizes
    """The text encoder: one of `TEXTS`, which `kind` names."""
    dit: DiTConfig
    """The denoiser."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Noise levels of the steps."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """How much noise, and which."""
    sizes: tuple[tuple[int, int], ...] = ((320, 192),)
    """Working sizes that suit the model, (width, height) in pixels. Any multiple of `size_multiple` works."""
    default_size: tuple[int, int] = (320, 192)
    """(width, height) in pixels when nobody chooses."""
    steady: bool = True
    """Whether what is painted is held along the motion of the source, as far as the settings say. Costs time
    on the host. False: for models whose pictures do not flicker anyway."""
    compile: bool = False
    """Whether a GPU runs chains of small operations as one kernel each: faster where that was measured, after
    some seconds of compiling when the model is loaded for the first time."""
    attention: AttentionKernel = "auto"
    """Which of torch's attention kernels a GPU tries first: `auto` (torch's own order), `cudnn`, `flash`,
    `efficient` or `math`. The picture is the same; which is fastest depends on the card."""
    latent_frames_per_chunk: int = 1
    """Latent frames of a chunk, at least 1 and at most what the ring of the cache holds."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("name is empty; give the model a name")
        if self.vae.latent_channels != self.dit.latent_channels:
            raise ConfigError(
                f"vae.latent_channels is {self.vae.latent_channels} but dit.latent_channels"
                f" {self.dit.latent_channels}; they must be the same"
            )
        if self.text.dim != self.dit.text_dim:
            raise ConfigError(
                f"text.dim is {self.text.dim} but dit.text_dim {self.dit.text_dim}; they must be the same"
            )
        if not 1 <= self.latent_frames_per_chunk <= self.dit.recent_frames:
            raise ConfigError(
                f"latent_frames_per_chunk is {self.latent_frames_per_chunk}; it must be 1 to"
                f" {self.dit.recent_frames} (dit.window_frames less dit.sink_frames)"
            )
        for width, height in (*self.sizes, self.default_size):
            self.check_size(height, width)

    @classmethod
    def from_toml(cls, path: Path) -> ModelConfig:
        """Read a config; ConfigError names the file and the key that is wrong."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"cannot read the model's config {path}: {error}") from error
        try:
            return cls.from_table(table)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> ModelConfig:
        """Build from nested tables, as a TOML file has them; ConfigError names the key that is wrong."""
        fields, types = _known_fields(cls, table), get_type_hints(cls)
        for key, known in fields.items():
            if key not in table and known.default is known.default_factory:
                raise ConfigError(f"{key} is missing")
        values: dict[str, Any] = {
            key: _part(key, value) if key in _TABLES else _converted(value, types[key], key)
            for key, value in table.items()
        }
        return cls(**values)

    @property
    def size_multiple(self) -> int:
        """Both sides of a picture are multiples of this, pixels."""
        return SPATIAL_FACTOR * self.dit.patch

    @property
    def frames_per_chunk(self) -> int:
        """Video frames of a chunk."""
        return FRAMES_PER_LATENT * self.latent_frames_per_chunk

    def check_size(self, height: int, width: int) -> None:
        """ConfigError unless the model can work at this size, pixels."""
        multiple = self.size_multiple
        fits = all(multiple <= side <= LARGEST_SIDE and side % multiple == 0 for side in (height, width))
        if not fits:
            raise ConfigError(
                f"{width}x{height} pixels will not do for {self.name}: both sides must be multiples of"
                f" {multiple} from {multiple} to {LARGEST_SIDE}"
            )


def _part(name: str, table: object) -> object:
    """The config of a part, of the class that its `kind` names."""
    kinds = _TABLES[name]
    if not isinstance(table, Mapping):
        raise ConfigError(f"{name} is {table!r}; it must be a table")
    if "" in kinds:
        cls = kinds[""]
    else:
        kind = table.get("kind", next(iter(kinds)))
        if not isinstance(kind, str) or kind not in kinds:
            raise ConfigError(f"{name}.kind is {kind!r}; it must be one of {', '.join(kinds)}")
        cls = kinds[kind]
    _known_fields(cls, table, f"{name}.")
    return _converted(table, cls, name)


def _converted(value: object, to: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$", f"`{where}")
        # What a config says of itself names its table already.
        raise ConfigError(text if where in text else f"{where}: {text}") from error


def _known_fields(cls: type, table: Mapping[str, Any], where: str = "") -> dict[str, dataclasses.Field[Any]]:
    fields = {known.name: known for known in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            raise ConfigError(f"unknown key {where}{key}; known are {', '.join(sorted(fields))}")
    return fields
