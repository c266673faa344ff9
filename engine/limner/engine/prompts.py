"""Which text is in force for each chunk: a prompt, a mix of prompts, or something on the way to them.

Texts are small and change rarely, so all of this happens on the CPU, and nobody waits for a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

import torch

from limner.engine.blend import SoftText, between, mixed
from limner.engine.errors import StateError, TextError
from limner.engine.parts import TextEncoder
from limner.engine.state import StreamState
from limner.engine.text import TextEmbedding
from limner.engine.types import PromptShare, StreamSettings


@dataclass(frozen=True, kw_only=True)
class TextChange:
    """Another text than the chunk before had."""

    text: SoftText
    """In force from this chunk on."""
    is_complete: bool
    """It is what was asked for, no longer on the way there."""


class TextWish:
    """A prompt or a mix that was asked for, from the asking until its text is there. It never waits."""

    def __init__(self, encoder: TextEncoder, shares: Sequence[PromptShare]) -> None:
        """At least one share."""
        self._shares = tuple(shares)
        self._asked = [encoder.ask(share.prompt) for share in self._shares]

    @property
    def shares(self) -> tuple[PromptShare, ...]:
        """What was asked for."""
        return self._shares

    @property
    def is_there(self) -> bool:
        """`text` has an answer."""
        return all(asked.done() for asked in self._asked)

    def text(self) -> TextEmbedding:
        """The text, and the words of all its prompts that do nothing; TextError when one cannot be encoded.

        When it is there.
        """
        encoded = [_answer(asked) for asked in self._asked]
        return TextEmbedding(
            text=mixed([one.text for one in encoded], [share.weight for share in self._shares]),
            unknown=tuple(dict.fromkeys(word for one in encoded for word in one.unknown)),
        )

    def cancel(self) -> None:
        """Nobody wants it any more."""
        for asked in self._asked:
            asked.cancel()


def wanted_shares(settings: StreamSettings) -> tuple[PromptShare, ...]:
    """What the settings ask for: their mix, or the prompt alone."""
    return settings.mix or (PromptShare(prompt=settings.prompt),)


def _answer(asked: Future[TextEmbedding]) -> TextEmbedding:
    try:
        return asked.result(timeout=0)
    except CancelledError as error:
        raise TextError("the text encoder was closed") from error


class PromptTrack:
    """Goes from text to text over a set time. One step a chunk: `push` says what is new, if anything is."""

    def __init__(self, text: SoftText) -> None:
        self._start = self._target = self._now = text
        self._frames = self._done = 0
        self._is_new = True

    @property
    def now(self) -> SoftText:
        """In force since the last chunk."""
        return self._now

    def aim(self, target: SoftText, transition_frames: int) -> None:
        """Go to this text within so many video frames from the next chunk on; 0: at once.

        From where it is: a change that is overtaken turns towards the newer one. Aiming at what it aims at
        already changes nothing, not even the pace.
        """
        if _same(target, self._target):
            return
        self._start, self._target = self._now, target
        self._frames, self._done = transition_frames, 0
        self._is_new = True

    def push(self, frames: int) -> TextChange | None:
        """The text of the next chunk, of so many video frames; None when it is that of the chunk before.

        A chunk is painted as it should look at its end, so that a transition is over on time.
        """
        if not self._is_new:
            return None
        self._done += frames
        is_complete = self._done >= self._frames
        # At its end it is the target itself, not something that rounding made of it.
        self._now = (
            self._target if is_complete else between(self._start, self._target, self._done / self._frames)
        )
        self._is_new = not is_complete
        return TextChange(text=self._now, is_complete=is_complete)

    def reset(self) -> None:
        """The next chunk is the first of a stream: what was asked for is in force from there on."""
        self._is_new |= not _same(self._now, self._target)
        self._start = self._now = self._target
        self._frames = self._done = 0

    def state(self) -> StreamState:
        """What it remembers."""
        texts = {"start": self._start, "now": self._now, "target": self._target}
        parts = {name: _text_state(text) for name, text in texts.items()}
        facts = {"frames": self._frames, "done": self._done, "is_new": self._is_new}
        return StreamState.joined(parts, facts)

    def restore(self, state: StreamState) -> None:
        """Go on from a state; StateError when it is of another text encoder."""
        self._start, self._now, self._target = (
            _restored(state.part(name), self._target) for name in ("start", "now", "target")
        )
        self._frames, self._done = state.fact("frames", int), state.fact("done", int)
        self._is_new = state.fact("is_new", bool)


def _text_state(text: SoftText) -> StreamState:
    tensors = {"embedding": text.embedding_LE, "weight": text.weight_L}
    return StreamState(tensors=tensors, facts={"zeros": text.zeros})


def _restored(state: StreamState, like: SoftText) -> SoftText:
    """How many tokens a text keeps is its own affair; their width and how many there are in all are not."""
    zeros, kept = state.fact("zeros", int), len(state.tensor("embedding"))
    if zeros < 0 or kept + zeros != like.length:
        raise StateError(f"the state's text has {kept + zeros} tokens, this model's {like.length}")
    text = SoftText(
        embedding_LE=like.embedding_LE.new_empty(kept, like.embedding_LE.shape[-1]),
        weight_L=like.weight_L.new_empty(kept),
        zeros=zeros,
    )
    state.fill("embedding", text.embedding_LE)
    state.fill("weight", text.weight_L)
    return text


def _same(a: SoftText, b: SoftText) -> bool:
    return torch.equal(a.weight_L, b.weight_L) and torch.equal(a.embedding_LE, b.embedding_LE)
