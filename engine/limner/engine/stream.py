"""One live stream through the four stages: encode → noise → denoise → decode."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.engine.clock import StageClock
from limner.engine.denoiser import Denoiser
from limner.engine.errors import FrameError
from limner.engine.model import Model
from limner.engine.motion import MotionController
from limner.engine.noise import NoiseSource
from limner.engine.schedule import add_noise, step_sigmas, told_sigmas
from limner.engine.types import CleanChunk, NoisedChunk, Painted, StreamSettings
from limner.engine.vae import SPATIAL_FACTOR


class Stream:
    """Paints the frames of one source. Streaming: push, flush, reset. For one thread at a time.

    Made by `Engine.open_stream`. Its output lags `steps - 1` chunks behind its input.
    """

    def __init__(
        self,
        model: Model,
        settings: StreamSettings,
        *,
        height: int,
        width: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        config = model.config
        self.height, self.width = height, width
        self._unknown_words: tuple[str, ...] = ()
        self._model, self._config = model, config
        self._device, self._dtype = device, dtype
        self._settings = self._wanted = settings
        self._index = 0
        self._encoder = model.vae.encoder_stream(height, width)
        self._decoder = model.vae.decoder_stream(height, width)
        self._motion = MotionController(config.noise)
        latent_CHW = (config.vae.latent_channels, height // SPATIAL_FACTOR, width // SPATIAL_FACTOR)
        self._noise = NoiseSource(config.noise, shape_CHW=latent_CHW, seed=settings.seed, device=device)
        self._denoiser = Denoiser(
            model.dit, steps=settings.steps, latent_size=latent_CHW[1:], device=device, dtype=dtype
        )
        self._set_prompt(settings.prompt)

    @property
    def settings(self) -> StreamSettings:
        """In force since the last chunk."""
        return self._settings

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words of the prompt in force that do nothing, since the model was not taught them."""
        return self._unknown_words

    @property
    def frames_per_chunk(self) -> int:
        """Video frames that `push` takes."""
        return self._config.frames_per_chunk

    def update(self, settings: StreamSettings) -> None:
        """Paint like this from the next chunk on, without a cut. Only the latest of several counts."""
        self._wanted = settings

    @torch.inference_mode()
    def push(self, frames_TCHW: Tensor) -> Painted | None:
        """Paint one chunk of uint8 RGB frames [frames_per_chunk, 3, height, width].

        None while the first chunks are on their way (more than one step). Raises FrameError when the frames
        are not of this kind; nothing has happened then, and the stream can go on.
        """
        self._check(frames_TCHW)
        frames_TCHW = frames_TCHW.to(self._device, non_blocking=True)
        late = self._adopt(self._wanted)
        clock = StageClock(self._device)
        latents_TCHW = self._encoder.push(frames_TCHW)
        clock.lap()
        chunk = self._noised(frames_TCHW, latents_TCHW)
        clock.lap()
        done = self._denoiser.push(chunk, self._noise)
        clock.lap()
        return self._painted(late if done is None else [*late, done], clock)

    @torch.inference_mode()
    def flush(self) -> Painted | None:
        """Finish the chunks that are on their way; None when there are none. The stream can go on after."""
        clock = StageClock(self._device)
        clock.lap()
        clock.lap()
        done = self._denoiser.flush(self._noise)
        clock.lap()
        return self._painted(done, clock)

    @torch.inference_mode()
    def reset(self) -> None:
        """Start anew: the next chunk is the first, as if the stream had just been opened."""
        self._index = 0
        self._denoiser.reset()
        self._adopt(self._wanted)
        for stage in (self._encoder, self._decoder, self._motion):
            stage.reset()
        self._noise.reseed(self._settings.seed)

    def _adopt(self, wanted: StreamSettings) -> list[CleanChunk]:
        """Put settings in force; the chunks that had to be finished for it."""
        late: list[CleanChunk] = []
        if wanted.prompt != self._settings.prompt:
            self._set_prompt(wanted.prompt)
        if wanted.seed != self._settings.seed:
            self._noise.reseed(wanted.seed)
        if wanted.steps != self._settings.steps:
            late = self._denoiser.flush(self._noise)
            self._denoiser.set_steps(wanted.steps)
        self._settings = wanted
        return late

    @torch.inference_mode()
    def _set_prompt(self, prompt: str) -> None:
        encoded = self._model.text.encode(prompt)
        self._unknown_words = encoded.unknown
        tokens_SE, _ = encoded.text.tokens()
        self._denoiser.set_text(self._model.dit.text_context(tokens_SE[None].to(self._device, self._dtype)))

    def _noised(self, frames_TCHW: Tensor, latents_TCHW: Tensor) -> NoisedChunk:
        settings, schedule = self._settings, self._config.schedule
        strength = self._motion.push(frames_TCHW, settings)
        sigmas_N = step_sigmas(schedule, strength, settings.steps)
        noise_TCHW = self._noise.draw(len(latents_TCHW))
        chunk = NoisedChunk(
            index=self._index,
            revision=settings.revision,
            strength=strength,
            x_TCHW=add_noise(latents_TCHW.float(), noise_TCHW, sigmas_N[0]),
            sigmas_N=sigmas_N,
            told_N=told_sigmas(schedule, sigmas_N),
            is_clean=settings.strength == 0,
        )
        self._index += 1
        return chunk

    def _painted(self, done: list[CleanChunk], clock: StageClock) -> Painted | None:
        if not done:
            return None
        frames_TCHW = self._decoder.push(torch.cat([chunk.latents_TCHW for chunk in done]))
        clock.lap()
        return Painted(
            frames_TCHW=frames_TCHW,
            chunk=done[0].index,
            chunks=len(done),
            revision=done[-1].revision,
            strength=float(done[-1].strength),
            stage_ms=clock.times(),
        )

    def _check(self, frames_TCHW: Tensor) -> None:
        wanted = (self.frames_per_chunk, 3, self.height, self.width)
        if not isinstance(frames_TCHW, Tensor) or frames_TCHW.dtype != torch.uint8:
            kind = getattr(frames_TCHW, "dtype", type(frames_TCHW).__name__)
            raise FrameError(f"frames are {kind}; they must be a torch.uint8 tensor")
        if tuple(frames_TCHW.shape) != wanted:
            raise FrameError(f"frames have the shape {tuple(frames_TCHW.shape)}; this stream takes {wanted}")
