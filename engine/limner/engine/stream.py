"""One live stream through its stages: encode (with the noise) → denoise → decode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from limner.engine.clock import Span, StageClock, cuda_event
from limner.engine.decode_stage import DecodeStage
from limner.engine.denoiser import AnyDenoiser, Denoiser
from limner.engine.dit.together import Work
from limner.engine.encode_stage import EncodeStage
from limner.engine.errors import StateError
from limner.engine.flights import Texts
from limner.engine.frames import Uploaded, on_host, to_show
from limner.engine.fusing import fusing
from limner.engine.model import Model
from limner.engine.noise import NoiseSource
from limner.engine.painting import Painting
from limner.engine.queues import queues_of
from limner.engine.replayed import RecorderOf, no_recorder
from limner.engine.state import FORMAT, StreamState
from limner.engine.types import CleanChunk, Denoised, NoisedChunk, Painted, StreamSettings
from limner.engine.vae import SPATIAL_FACTOR

DenoiserOf = Callable[[NoiseSource, int, tuple[int, int]], AnyDenoiser]
"""A denoising stage by its noise, its steps, and height and width of its latent frames."""


class Stream:
    """Paints the frames of one source. Streaming: push, flush, reset. For one thread at a time.

    Made by `Engine.open_stream`. As a stream batch, its output lags `steps - 1` chunks behind its input.

    `push` is `decode(denoise(encode(frames)))`. Whoever wants the three to overlap may call each on a thread
    of its own, with the chunks in order: they share nothing but what one hands to the next.
    """

    def __init__(
        self,
        model: Model,
        settings: StreamSettings,
        *,
        height: int,
        width: int,
        device: torch.device,
        recorder_of: RecorderOf = no_recorder,
        fused_by: str | None = None,
        denoiser_of: DenoiserOf | None = None,
    ) -> None:
        """`denoiser_of`: makes the denoising stage where it is not one on this device alone. `fused_by`: what
        makes one kernel of small operations, see fusing.py."""
        self.model = model
        self._denoiser_of = denoiser_of
        self.height, self.width = height, width
        self._device, self._recorder_of, self.fused_by = device, recorder_of, fused_by
        # What a stage remembers is memory of the queue that it works on (of a stream on lanes): freed while
        # that has still work to do, it goes to nobody before.
        self._encoding, self._denoising, self._decoding = queues_of(device)
        self._encode, self._denoiser, self._decode = self._new_stages(settings)

    @property
    def denoiser(self) -> AnyDenoiser:
        """Its second stage."""
        return self._denoiser

    @property
    def settings(self) -> StreamSettings:
        """In force since the last chunk."""
        return self._encode.settings

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words of the prompt in force that do nothing, since the model was not taught them."""
        return self._encode.unknown_words

    @property
    def frames_per_chunk(self) -> int:
        """Video frames that the next `push` takes; `update` may change it."""
        return self._encode.frames_per_chunk

    def update(self, settings: StreamSettings) -> None:
        """Paint like this from the next chunk on, without a cut. Only the latest of several counts.

        Raises SettingsError (for the size, ConfigError) when the model cannot do it; the stream goes on as
        before then.
        """
        self._encode.update(settings)

    def push(self, frames_TCHW: Tensor | Uploaded) -> Painted | None:
        """Paint one chunk of uint8 RGB frames [frames_per_chunk, 3, height, width].

        On the host, or on the device: uploaded by an `Uploader`, or as a tensor there, whose thumbnails would
        be waited for.

        None while the first chunks are on their way (a stream batch of more than one step). Raises FrameError
        when the frames are not of this kind; nothing has happened then, and the stream can go on.
        """
        return self.decode(self.denoise(self.encode(frames_TCHW)))

    @torch.inference_mode()
    def flush(self) -> Painted | None:
        """Finish the chunks that are on their way; None when there are none. The stream can go on after."""
        denoised = self.denoise(None)
        with self._decoding.joined():
            return self.decode(denoised)

    @torch.inference_mode()
    def reset(self) -> None:
        """Start anew: the next chunk is the first, as if the stream had just been opened."""
        with self._encoding.joined():
            self._encode.reset()
        with self._denoising.joined():
            self._denoiser.reset()
        with self._decoding.joined():
            self._decode.reset()

    @torch.inference_mode()
    def state(self) -> StreamState:
        """All that the stream remembers, for `restore`: the future is the same from there, bit by bit.

        Between pushes; where stages run apart, when none holds a chunk.
        """
        texts = Texts()
        parts = {
            "encode": self._encode.state(texts),
            "denoise": self._denoiser.state(texts),
            "decode": self._decode.state(self._denoiser.decoder_state()),
            "texts": texts.state(),
        }
        return StreamState.joined(parts, {"format": FORMAT, **self._identity()})

    @torch.inference_mode()
    def restore(self, state: StreamState) -> None:
        """Go on from a state that a stream of the same model (and weights) and size gave, here or elsewhere.

        Raises StateError when it is of another; the stream is as before then.
        """
        for name, mine in {"format": FORMAT, **self._identity()}.items():
            if (its := state.facts.get(name)) != mine:
                raise StateError(f"the state's {name} is {its!r}; this stream's is {mine!r}")
        encode, denoiser, decode = self._new_stages(self.settings)
        with self._encoding.joined():
            texts = Texts.restored(self.model.dit, state.part("texts"))
            encode.restore(state.part("encode"), texts)
        with self._denoising.joined():
            denoiser.restore(state.part("denoise"), texts)
            denoiser.restore_decoder(state.part("decode").part("decoder"))
        with self._decoding.joined():
            decode.restore(state.part("decode"))
        self._encode, self._denoiser, self._decode = encode, denoiser, decode

    def encode(self, frames_TCHW: Tensor | Uploaded) -> NoisedChunk:
        """First stage: put the newest settings in force, encode, add noise. Raises as `push` does."""
        with fusing(self.fused_by):
            return self._encode.push(frames_TCHW)

    def check_frames(self, frames_TCHW: Tensor | Uploaded) -> None:
        """Raise what `push` would raise for these frames; nothing else happens."""
        self._encode.check_frames(frames_TCHW)

    @torch.inference_mode()
    def denoise(self, chunk: NoisedChunk | None) -> Denoised:
        """Second stage: paint; None finishes the chunks that are on their way."""
        clock = StageClock(self._device)
        with fusing(self.fused_by):
            done = self._denoiser.flush() if chunk is None else self._denoiser.push(chunk)
        return denoised(chunk, done, clock.lap())

    def denoising(self, chunk: NoisedChunk) -> Work[list[CleanChunk]]:
        """The second stage as work that can share its forwards with that of other streams."""
        return self._denoiser.pushing(chunk)

    @torch.inference_mode()
    def decode(self, denoised: Denoised) -> Painted | None:
        """Third stage: pictures of what the second one finished, if anything. Waits for the device."""
        painting = self.painting(denoised)
        return None if painting is None else painting.painted()

    @torch.inference_mode()
    def painting(self, denoised: Denoised, *, download: bool = False) -> Painting | None:
        """Third stage, without waiting. `download`: what is painted comes to the host too, as RGBA."""
        if not denoised.chunks:
            return None
        clock = StageClock(self._device)
        with fusing(self.fused_by):
            frames_TCHW = self._decode.push(denoised.chunks)
        decoded = clock.lap()
        return Painting(
            denoised=denoised,
            frames_TCHW=frames_TCHW,
            decoded=decoded,
            rgba_THW4=on_host(to_show(frames_TCHW)) if download else None,
            strength=on_host(denoised.chunks[-1].strength),
            done=cuda_event(self._device) if self._device.type == "cuda" else None,
        )

    def _identity(self) -> dict[str, str | int]:
        config = self.model.config
        digest = hashlib.sha256(repr(config).encode()).hexdigest()[:16]
        return {"model": config.name, "config": digest, "height": self.height, "width": self.width}

    def _new_stages(self, settings: StreamSettings) -> tuple[EncodeStage, AnyDenoiser, DecodeStage]:
        model, device, height, width = self.model, self._device, self.height, self.width
        # Two sources of the same noise, so that the stages share nothing.
        noises = [NoiseSource(model.config.noise, device) for _ in range(2)]
        with self._encoding.joined():
            encode = EncodeStage(
                model,
                noises[0],
                settings,
                height=height,
                width=width,
                device=device,
                recorder_of=self._recorder_of,
            )
        work_height, work_width = encode.working_size
        latent_size = (work_height // SPATIAL_FACTOR, work_width // SPATIAL_FACTOR)
        # Not kept: a stream that holds itself keeps its memory until the collector comes.
        denoiser_of = self._denoiser_of or self._denoiser_here
        with self._denoising.joined():
            denoiser = denoiser_of(noises[1], settings.steps, latent_size)
        with self._decoding.joined():
            decode = DecodeStage(
                model.vae,
                size=(height, width),
                working_size=encode.working_size,
                recorder_of=self._recorder_of,
                # Who denoises elsewhere gives chunks back decoded.
                has_decoder=self._denoiser_of is None,
            )
        return encode, denoiser, decode

    def _denoiser_here(self, noise: NoiseSource, steps: int, latent_size: tuple[int, int]) -> Denoiser:
        return Denoiser(
            self.model.dit, noise, steps=steps, latent_size=latent_size, recorder_of=self._recorder_of
        )


def denoised(chunk: NoisedChunk | None, done: list[CleanChunk], spent: Span, together: int = 1) -> Denoised:
    """What came out of the second stage, and the times of the push that brought it, shared by `together`."""
    if chunk is None:
        return Denoised(chunks=tuple(done), denoised=spent)
    return Denoised(
        chunks=tuple(done), encoded=chunk.encoded, noised=chunk.noised, denoised=spent, together=together
    )
