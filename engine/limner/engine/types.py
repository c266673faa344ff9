"""What the engine's stages hand to one another and to whoever holds a stream.

Legend: T video frames or latent frames, C channels, H×W pixels. A chunk is one or more latent frames; a
latent frame is 4 video frames. Chunks are counted from 0 since the stream was opened or reset.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from limner.engine.clock import NO_TIME, Span
from limner.engine.dit.context import TextContext
from limner.engine.errors import SettingsError
from limner.engine.queues import Mark

MOST_STEPS = 4
MOST_CHUNK_LATENTS = 4
MOST_PROMPTS = 4
MOST_WINDOW_FRAMES = 240
MOST_TRANSITION_FRAMES = 3600
WAITS = "waiting for the text encoder: the look changes when it has read the prompt"
WAITS_FIRST = "waiting for the text encoder: the source is shown until it has read the prompt"
"""What `text_note` says of a text that is not encoded yet."""
LARGEST_SEED = 2**32 - 1
LARGEST_REVISION = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class PromptShare:
    """One prompt of a mix."""

    prompt: str
    """What to paint, in words."""
    weight: float = 1.0
    """How much it counts beside the others, more than 0, at most 1000. Only the ratio matters."""

    def __post_init__(self) -> None:
        _check_prompt(self.prompt)
        _check_number("weight", self.weight, 0, 1000)
        if not self.weight > 0:
            raise SettingsError(f"weight is {self.weight}; it must be more than 0")


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What a person may change while the stream runs. Checked when built."""

    prompt: str = ""
    """What to paint, in words. Any text; words that the model does not know do nothing."""
    mix: tuple[PromptShare, ...] = ()
    """Up to 4 prompts and their weights, painted instead of `prompt`. Empty: `prompt` alone."""
    transition_frames: int = 0
    """A change of prompt or mix takes this many video frames. 0..3600; 0: at the next chunk."""
    recache: bool = False
    """When the prompt has changed, begin the context anew with the last chunk under it: a faster change."""
    strength: float = 0.5
    """How much to paint: 0 is the source itself, 1 all invented. 0..1."""
    steps: int = 1
    """Denoising steps: more look better and cost as much each. 1..4."""
    stream_batch: bool = True
    """All steps in one forward, each on another chunk: most frames a second, a chunk of delay for each step
    after the first. False: all steps of a chunk before the next one, the least delay."""
    chunk_latents: int = 0
    """Latent frames of a chunk, 1..4 and at most what the model's window holds; 0: as the model has it."""
    size: tuple[int, int] | None = None
    """Work at this (width, height), pixels, and scale frames in and out; None: at the frames' own size.
    A change begins a new context."""
    seed: int = 0
    """Chooses the noise: the same seed and input give the same picture. 0..2^32-1."""
    motion_aware: bool = True
    """Add less noise where the picture moves fast and more where it stands still."""
    motion_window: int = 8
    """The fastest of this many video frames counts. 1..240."""
    motion_smoothing: float = 0.1
    """Weight of the share before, 0..0.99. Reference: 0.1."""
    motion_low: float = 0.7
    """Share of the strength that is left at full motion. 0..1. Reference: 0.7 of 0.8."""
    motion_high: float = 1.0
    """Share of the strength when nothing moves, 1..1.5; the strength never passes 1."""
    motion_hysteresis: float = 0.02
    """Shares that differ less than this from the one in force change nothing. 0..0.5."""
    steadiness: float = 0.93
    """How much of the painted frame before is kept where the source only moves or stands still. 0..0.95;
    0: none."""
    cuts: bool = True
    """Begin a new context where the scene changes, instead of smearing the old one over the new."""
    revision: int = 0
    """Number that its owner gives to a change; comes back with the first chunk under it. 0..2^63-1."""

    def __post_init__(self) -> None:
        _check_prompt(self.prompt)
        _check_mix(self.mix)
        _check_number("strength", self.strength, 0, 1)
        _check_number("motion_smoothing", self.motion_smoothing, 0, 0.99)
        _check_number("motion_low", self.motion_low, 0, 1)
        _check_number("motion_high", self.motion_high, 1, 1.5)
        _check_number("motion_hysteresis", self.motion_hysteresis, 0, 0.5)
        _check_number("steadiness", self.steadiness, 0, 0.95)
        _check_whole("transition_frames", self.transition_frames, 0, MOST_TRANSITION_FRAMES)
        _check_whole("steps", self.steps, 1, MOST_STEPS)
        _check_whole("chunk_latents", self.chunk_latents, 0, MOST_CHUNK_LATENTS)
        _check_whole("seed", self.seed, 0, LARGEST_SEED)
        _check_whole("motion_window", self.motion_window, 1, MOST_WINDOW_FRAMES)
        _check_whole("revision", self.revision, 0, LARGEST_REVISION)
        _check_size(self.size)
        for name in ("recache", "stream_batch", "motion_aware", "cuts"):
            if not isinstance(value := getattr(self, name), bool):
                raise SettingsError(f"{name} is {value!r}; it must be true or false")


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
    is_cut: bool = False
    """A new context began with one of its chunks, since the scene changed."""
    unknown_words: tuple[str, ...] = ()
    """Words of its last chunk's prompts that do nothing, since the model was not taught them."""
    text_note: str = ""
    """Why its last chunk does not have the text that its settings ask for: that is not encoded yet, or cannot
    be. Empty: it has."""
    stage_ms: StageTimes
    """Of the push that brought it."""
    together: int = 1
    """Streams whose chunks shared the forward with that push, this one included: the time to denoise is that
    of all of them."""
    rgba_THW4: Tensor | None = None
    """The same frames on the host, as RGBA in rows without padding; None: nobody brought them there."""

    @property
    def waits_for_text(self) -> bool:
        """The text that its last chunk's settings ask for is still to come."""
        return self.text_note in (WAITS, WAITS_FIRST)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Where each pixel of the source was a frame earlier, and how surely. h×w: half the working size."""

    flow_T2hw: Tensor
    """To the place in the frame before, (x, y) in pixels of half the size. float32."""
    keep_T1hw: Tensor
    """Share of the frame before that may be kept, 0..1. float32."""


@dataclass(frozen=True, kw_only=True)
class NoisedChunk:
    """A chunk on its way into the denoiser, with all that was in force when it was encoded."""

    index: int
    revision: int
    strength: Tensor
    """What the noise controller chose, 0..1, a 0-d tensor so that nobody waits for the device."""
    x_TCHW: Tensor
    """Latents, already at the noise level of the next step. float32."""
    sigmas_N: Tensor
    """Noise level of each step, 0..1, falling. float32."""
    told_N: Tensor
    """Noise level that the model is told at each step (sigma less the model's offset). float32."""
    text: TextContext
    """What to paint; of one row."""
    seed: int
    """Of the noise of its later steps."""
    stream_batch: bool
    """False: all its steps before the next chunk's first."""
    is_clean: bool
    """Nothing was added, so there is nothing to paint: strength 0."""
    is_cut: bool = False
    """A new context begins with it, since the scene changed."""
    recache: bool = False
    """The context is to be made anew under its text."""
    unknown_words: tuple[str, ...] = ()
    """Words of its prompts that do nothing."""
    text_note: str = ""
    """Why it does not have the text that its settings ask for; empty: it has."""
    trace: Trace | None = None
    """How its source moved, for whoever steadies what is painted; None: nobody does."""
    encoded: Span = NO_TIME
    """Time that the encoder took."""
    noised: Span = NO_TIME
    """Time that the noise took."""

    @property
    def steps(self) -> int:
        """How many denoising steps it takes."""
        return len(self.sigmas_N)

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of a latent frame."""
        height, width = self.x_TCHW.shape[-2:]
        return height, width


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Pictures of a chunk, of which the decoder has made its part already, wherever that is."""

    frames_TCHW: Tensor
    """uint8 RGB at the working size, as the decoder gives them."""
    ready: Mark
    """When they are complete on this device."""
    spent: Span
    """Time that the decoder took."""
    denoised_s: float
    """When the chunk was denoised; seconds of `time.perf_counter`."""


@dataclass(frozen=True, kw_only=True)
class CleanChunk:
    """A chunk that went through all its steps."""

    index: int
    revision: int
    latents_TCHW: Tensor
    strength: Tensor
    """What the noise controller chose for it, 0..1, a 0-d tensor."""
    is_cut: bool = False
    """A new context began with it."""
    unknown_words: tuple[str, ...] = ()
    """Words of its prompts that do nothing."""
    text_note: str = ""
    """Why it does not have the text that its settings ask for; empty: it has."""
    trace: Trace | None = None
    """How its source moved."""
    decoded: Decoded | None = None
    """Its pictures; None: they are to be made of the latents."""


@dataclass(frozen=True, kw_only=True)
class Denoised:
    """What one push brought out of the denoiser."""

    chunks: tuple[CleanChunk, ...]
    """Oldest first; none while the first are on their way, several when late ones caught up."""
    encoded: Span = NO_TIME
    """Time that the encoder took for the chunk that was pushed."""
    noised: Span = NO_TIME
    """Time that its noise took."""
    denoised: Span = NO_TIME
    """Time that the denoiser took."""
    together: int = 1
    """Streams that shared it, this one included."""


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    # A NaN is in no range.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise SettingsError(f"{name} is {value!r}; it must be a number from {least} to {most}")


def _check_size(size: object) -> None:
    sides = size if isinstance(size, tuple) else ()
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if size is not None and not (len(sides) == 2 and whole):
        raise SettingsError(f"size is {size!r}; it must be (width, height) in whole pixels, or None")


def _check_prompt(prompt: object) -> None:
    if not isinstance(prompt, str):
        raise SettingsError(f"prompt is {prompt!r}; it must be text")


def _check_mix(mix: object) -> None:
    if not isinstance(mix, tuple) or not all(isinstance(share, PromptShare) for share in mix):
        raise SettingsError(f"mix is {mix!r}; it must be a tuple of PromptShare")
    if len(mix) > MOST_PROMPTS:
        raise SettingsError(f"mix has {len(mix)} prompts; it may have up to {MOST_PROMPTS}")
