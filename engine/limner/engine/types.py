"""What the engine's stages hand to one another and to whoever holds a stream.

Legend: T video frames or latent frames, C channels, H×W pixels. A chunk is one or more latent frames; a
latent frame is 4 video frames. Chunks are counted from 0 since the stream was opened or reset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from limner.engine.errors import SettingsError

MOST_STEPS = 4
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What a person may change while the stream runs. Checked when built."""

    prompt: str = ""
    """What to paint, in words. Any text; words that the model does not know do nothing."""
    strength: float = 0.5
    """How much to paint: 0 is the source itself, 1 all invented. 0..1."""
    steps: int = 1
    """Denoising steps: more look better, cost as much each, and add a chunk of delay each. 1..4."""
    seed: int = 0
    """Chooses the noise: the same seed and input give the same picture. 0..2^32-1."""
    motion_aware: bool = True
    """Paint a little less where the picture moves fast."""
    revision: int = 0
    """Number that the owner gives to this change; comes back with the first chunk painted under it."""

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise SettingsError(f"prompt is {self.prompt!r}; it must be text")
        if isinstance(self.strength, bool) or not isinstance(self.strength, (int, float)):
            raise SettingsError(f"strength is {self.strength!r}; it must be a number from 0 to 1")
        if not math.isfinite(self.strength) or not 0 <= self.strength <= 1:
            raise SettingsError(f"strength is {self.strength}; it must be a number from 0 to 1")
        _check_whole("steps", self.steps, 1, MOST_STEPS)
        _check_whole("seed", self.seed, 0, LARGEST_SEED)
        if not isinstance(self.motion_aware, bool):
            raise SettingsError(f"motion_aware is {self.motion_aware!r}; it must be true or false")


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """How long each stage took for this push, ms."""

    encode: float
    noise: float
    denoise: float
    decode: float

    @property
    def total(self) -> float:
        """All stages together, ms."""
        return self.encode + self.noise + self.denoise + self.decode


@dataclass(frozen=True, kw_only=True)
class Painted:
    """Painted frames of one chunk; of several at once only when fewer steps let late chunks catch up."""

    frames_TCHW: Tensor
    """uint8 RGB, on the engine's device; as many frames as `chunks` chunks have, oldest first."""
    chunk: int
    """Number of the first chunk in it."""
    chunks: int
    """How many chunks in a row it holds. At least 1."""
    revision: int
    """Settings that its last chunk was begun with."""
    strength: float
    """Strength that its last chunk began with: the settings' less what motion took. 0..1."""
    stage_ms: StageTimes
    """Of the push that brought it."""


@dataclass(frozen=True, kw_only=True)
class NoisedChunk:
    """A chunk on its way into the denoiser."""

    index: int
    revision: int
    strength: Tensor
    """What the noise controller chose, 0..1, a 0-d tensor so that nobody waits for the device."""
    x_TCHW: Tensor
    """Latents, already at the noise level of the first step. float32."""
    sigmas_N: Tensor
    """Noise level of each step, 0..1, falling. float32."""
    told_N: Tensor
    """Noise level that the model is told at each step (sigma less the model's offset). float32."""
    is_clean: bool
    """Nothing was added, so there is nothing to paint: strength 0."""


@dataclass(frozen=True, kw_only=True)
class CleanChunk:
    """A chunk that went through all its steps."""

    index: int
    revision: int
    latents_TCHW: Tensor
    strength: Tensor
    """What the noise controller chose for it, 0..1, a 0-d tensor."""


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")
