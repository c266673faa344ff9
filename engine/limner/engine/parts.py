"""What the parts of a model must be able to do, whatever family they are of.

Legend: T video frames, k latent frames, C latent channels, H×W pixels, h×w latent pixels (H/8, W/8).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import torch
from torch import Tensor

from limner.engine.state import StreamState
from limner.engine.text import TextEmbedding


class VaeSizes(Protocol):
    """What everyone must know of an autoencoder's config."""

    @property
    def kind(self) -> str:
        """Which class of autoencoder this is."""

    @property
    def latent_channels(self) -> int:
        """Channels of a latent frame."""

    @property
    def frames_behind(self) -> int:
        """What is painted is so many video frames older than what it was made of."""


class TextSizes(Protocol):
    """What everyone must know of a text encoder's config."""

    @property
    def kind(self) -> str:
        """Which class of text encoder this is."""

    @property
    def dim(self) -> int:
        """Width of a text token."""

    @property
    def length(self) -> int:
        """Most text tokens of a prompt."""


class VaeStream(Protocol):
    """Half of an autoencoder at work on one stream."""

    def push(self, x: Tensor, /) -> Tensor:
        """Encoder: uint8 frames [4k, 3, H, W] → normalised latents [k, C, h, w]. Decoder: the way back.

        A chunk is 4k frames at the start too: where a model's first latent frame is one video frame, the
        stream primes itself with the first frame or latent, so that every push is alike.
        """

    def state(self) -> StreamState:
        """What it remembers of the past."""

    def restore(self, state: StreamState) -> None:
        """Go on from a state of the same model and size; StateError when it is not."""

    def reset(self) -> None:
        """Forget the past, exactly as if the stream were new."""


class Vae(Protocol):
    """A streaming autoencoder: 4 frames × 8 × 8 pixels become one latent position."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    def prepare(self) -> None:
        """Lay the weights out as streams want them. Once they are final; cheap when done already."""

    def encoder_stream(self, height: int, width: int) -> VaeStream:
        """A new stream of pictures of height × width pixels."""

    def decoder_stream(self, height: int, width: int) -> VaeStream:
        """A new stream of pictures of height × width pixels."""


class TextEncoder(Protocol):
    """Prompts → embeddings, for any thread. Whoever must not wait asks, and looks again later."""

    @property
    def stand_in(self) -> str:
        """A prompt that it knows without encoding anything: to warm up with, and to measure."""

    def encode(self, prompt: str) -> TextEmbedding:
        """One prompt; any text will do, the empty one too. Waits; TextError when it cannot be encoded."""

    def ask(self, prompt: str) -> Future[TextEmbedding]:
        """Never waits: done at once where that takes no time, else soon, the newest first.

        The future fails with a TextError that says in one sentence what was in the way. Who no longer wants
        it cancels it: what nobody wants is not encoded.
        """

    def prepare(self, prompts: Sequence[str]) -> list[Future[TextEmbedding]]:
        """As `ask` for each, but after all that is asked for."""

    def let_go(self) -> bool:
        """Give back the memory of what is not at work now; whether that was any worth speaking of."""

    def close(self) -> None:
        """Encode nothing more; what is asked for and not encoded is cancelled."""
