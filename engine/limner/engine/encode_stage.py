"""The first stage of a stream: settings, encoder and noise. Frames in, a noised chunk out."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import torch
from torch import Tensor

from limner.engine.clock import StageClock
from limner.engine.cuts import CutDetector, aligned, is_early
from limner.engine.detail import DetailNoise
from limner.engine.dit.context import TextContext
from limner.engine.errors import SettingsError, StateError
from limner.engine.flights import Texts
from limner.engine.frames import Uploaded, check_frames, pixels_of, thumbnails_of
from limner.engine.model import Model
from limner.engine.motion import MotionController
from limner.engine.noise import NoiseSource
from limner.engine.replayed import RecorderOf, ReplayedVaeStream, no_recorder
from limner.engine.scaling import scaled
from limner.engine.schedule import add_noise, step_sigmas, told_sigmas
from limner.engine.state import StreamState
from limner.engine.steady import Follower
from limner.engine.text_stage import TextStage
from limner.engine.types import NoisedChunk, StreamSettings, Trace
from limner.engine.vae import FRAMES_PER_LATENT

STEADINESS_OF_A_CHANGE = 0.7
"""At most so steady while a look turns into another: what is held lags behind, here by 2 frames."""


class EncodeStage:
    """Puts settings in force chunk by chunk; what a chunk needs of them travels with it."""

    def __init__(
        self,
        model: Model,
        noise: NoiseSource,
        settings: StreamSettings,
        *,
        height: int,
        width: int,
        device: torch.device,
        recorder_of: RecorderOf = no_recorder,
    ) -> None:
        self._model, self._config, self._device = model, model.config, device
        self._recorder_of = recorder_of
        self.height, self.width = height, width
        self._check_settings(settings)
        self._settings = self._wanted = settings
        self._index = 0
        self._motion = MotionController(self._config.noise)
        self._noise, self._detail = noise, DetailNoise(self._config.noise, model.vae)
        self._text = TextStage(model, settings)
        self._cuts = CutDetector()
        self._follower = Follower()
        self._work_at(self._size_of(settings))

    @property
    def settings(self) -> StreamSettings:
        """In force since the last chunk."""
        return self._settings

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words of the prompt in force that do nothing."""
        return self._text.unknown_words

    @property
    def working_size(self) -> tuple[int, int]:
        """(height, width) of what is encoded, pixels, since the last chunk."""
        return self._working_size

    @property
    def frames_per_chunk(self) -> int:
        """Video frames that the next `push` takes."""
        return FRAMES_PER_LATENT * self._latents_of(self._wanted)

    def update(self, settings: StreamSettings) -> None:
        """In force from the next chunk on. SettingsError or ConfigError when the model cannot do it."""
        self._check_settings(settings)
        self._wanted = settings

    @torch.inference_mode()
    def push(self, frames: Tensor | Uploaded) -> NoisedChunk:
        """uint8 RGB frames [frames_per_chunk, 3, height, width] → a chunk; FrameError for any others."""
        wanted = self._wanted
        self.check_frames(frames)
        clock = StageClock(self._device)
        self._adopt(wanted)
        frames_TCHW, is_cut = self._one_scene(frames)
        text = self._text.push(len(frames_TCHW))
        if self._is_steadied:  # What follows them does so on the host: before they leave it.
            frames_TCHW = scaled(frames_TCHW, self._working_size)
        trace = self._traced(frames_TCHW)
        frames_TCHW = scaled(frames_TCHW.to(self._device, non_blocking=True), self._working_size)
        latents_TCHW = self._encoder.push(frames_TCHW)
        encoded = clock.lap()
        strength = self._motion.push(frames_TCHW, self._painting)
        chunk = self._noised(latents_TCHW, strength, text)
        self._index += 1
        return dataclasses.replace(chunk, is_cut=is_cut, trace=trace, encoded=encoded, noised=clock.lap())

    def check_frames(self, frames: Tensor | Uploaded) -> None:
        """FrameError unless the next `push` would take these."""
        check_frames(frames, (self.frames_per_chunk, 3, self.height, self.width))

    @torch.inference_mode()
    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        self._index = 0
        self._adopt(self._wanted)
        self._cuts.reset()
        self._text.reset()
        self._begin_scene()

    def state(self, texts: Texts) -> StreamState:
        """What it remembers, settings that are not yet in force included."""
        parts = {
            "encoder": self._encoder.state(),
            "motion": self._motion.state(),
            "text": self._text.state(texts),
            "cuts": self._cuts.state(),
            "follower": self._follower.state(),
        }
        return StreamState.joined(
            parts,
            {
                "index": self._index,
                "size": list(self._working_size),
                "settings": dataclasses.asdict(self._settings),
                "wanted": dataclasses.asdict(self._wanted),
            },
        )

    def restore(self, state: StreamState, texts: Texts) -> None:
        """Go on from a state of the same model and size; StateError when it is not."""
        self._settings = _settings(state.fact("settings", dict))
        self._wanted = _settings(state.fact("wanted", dict))
        self._index = state.fact("index", int)
        height, width = state.fact("size", list)
        self._work_at((height, width))
        self._encoder.restore(state.part("encoder"))
        self._motion.restore(state.part("motion"), self._device)
        self._text.restore(state.part("text"), texts)
        self._cuts.restore(state.part("cuts"))
        self._follower.restore(state.part("follower"))

    def _noised(self, latents_TCHW: Tensor, strength: Tensor, text: TextContext) -> NoisedChunk:
        settings, schedule = self._painting, self._config.schedule
        sigmas_N = step_sigmas(schedule, strength, settings.steps)
        latents_TCHW = latents_TCHW.float()
        noise = self._noise.draw(latents_TCHW.shape, seed=settings.seed, chunk=self._index, step=0)
        if settings.motion_aware:
            noise = self._detail.push(noise, latents_TCHW, self._motion.motion)
        return NoisedChunk(
            index=self._index,
            revision=settings.revision,
            strength=strength,
            x_TCHW=add_noise(latents_TCHW, noise, sigmas_N[0]),
            sigmas_N=sigmas_N,
            told_N=told_sigmas(schedule, sigmas_N),
            text=text,
            seed=settings.seed,
            stream_batch=settings.stream_batch,
            is_clean=settings.strength == 0,
            recache=settings.recache and self._text.has_arrived,
            unknown_words=self._text.unknown_words,
            text_note=self._text.note,
        )

    def _traced(self, frames_TCHW: Tensor) -> Trace | None:
        """How the source moves; None where nothing is to be steadied."""
        settings = self._painting
        if not self._is_steadied:
            self._follower.reset()
            return None
        if self._text.has_arrived and not settings.transition_frames:
            # Another look at once: nothing of the old one is to be held. A transition ends where it is.
            self._follower.reset()
        most = STEADINESS_OF_A_CHANGE if self._text.is_changing else 1.0
        trace = self._follower.push(frames_TCHW, min(settings.steadiness, most))
        return Trace(
            flow_T2hw=trace.flow_T2hw.to(self._device, non_blocking=True),
            keep_T1hw=trace.keep_T1hw.to(self._device, non_blocking=True),
        )

    @property
    def _is_steadied(self) -> bool:
        settings = self._painting
        return self._config.steady and settings.steadiness > 0 and settings.strength > 0

    @property
    def _painting(self) -> StreamSettings:
        """What the chunk at hand is painted by. Without any text nothing is: the source is shown."""
        return dataclasses.replace(self._settings, strength=0.0) if self._text.is_blank else self._settings

    def _latents_of(self, settings: StreamSettings) -> int:
        return settings.chunk_latents or self._config.latent_frames_per_chunk

    def _size_of(self, settings: StreamSettings) -> tuple[int, int]:
        if settings.size is None:
            return self.height, self.width
        width, height = settings.size
        return height, width

    def _work_at(self, working_size: tuple[int, int]) -> None:
        self._working_size = working_size
        encoder = self._model.vae.encoder_stream(*working_size)
        self._encoder = ReplayedVaeStream(encoder, self._recorder_of, "the encoder")
        self._motion.reset()
        self._follower.reset()

    def _adopt(self, wanted: StreamSettings) -> None:
        self._text.adopt(self._settings, wanted)
        if self._size_of(wanted) != self._working_size:
            self._work_at(self._size_of(wanted))
        self._settings = wanted

    def _one_scene(self, frames: Tensor | Uploaded) -> tuple[Tensor, bool]:
        """The frames of one scene alone, and whether a new one begins with them."""
        frames_TCHW = pixels_of(frames)
        if not self._settings.cuts:
            self._cuts.reset()
            return frames_TCHW, False
        at = self._cuts.watch(thumbnails_of(frames))
        if at is None:
            return frames_TCHW, False
        is_cut = is_early(at, len(frames_TCHW))
        if is_cut:
            self._begin_scene()
        return aligned(frames_TCHW, at), is_cut

    def _begin_scene(self) -> None:
        """Forget the pictures before; the text, the noise and the count of chunks go on."""
        self._encoder.reset()
        self._motion.reset()
        self._follower.reset()

    def _check_settings(self, settings: StreamSettings) -> None:
        self._config.check_size(*self._size_of(settings))
        most = self._config.dit.recent_frames
        if settings.chunk_latents > most:
            raise SettingsError(
                f"chunk_latents is {settings.chunk_latents}; {self._config.name} takes up to {most}"
            )


def _settings(facts: dict[str, Any]) -> StreamSettings:
    try:
        return msgspec.convert(facts, StreamSettings)
    except msgspec.ValidationError as error:
        raise StateError(f"the state's settings are wrong: {error}") from error
