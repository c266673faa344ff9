"""What the transformer is told of the text, chunk by chunk; made anew only when the text is another.

A text encoder may take seconds, and the stream does not wait for it. It goes on with the text that it has and
turns to what was asked for at the first chunk after that has come, the newest alone if several were asked for
meanwhile. A stream that never had a text shows its source as it is until then.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from torch.nn import functional

from limner.engine.blend import SoftText
from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.errors import StateError, TextError
from limner.engine.flights import Texts
from limner.engine.model import Model
from limner.engine.prompts import PromptTrack, TextWish, wanted_shares
from limner.engine.state import StreamState
from limner.engine.types import WAITS, WAITS_FIRST, PromptShare, StreamSettings


class TextStage:
    """Turns settings into the text context of each chunk. Keys and values are made once per change."""

    def __init__(self, model: Model, settings: StreamSettings) -> None:
        self._encoder, self._dit = model.text, model.dit
        self._blank = SoftText.blank(model.config.text.dim, model.config.text.length)
        self._track: PromptTrack | None = None
        self._wish: TextWish | None = None
        self._fault = ""
        self._unknown_words: tuple[str, ...] = ()
        self._transition_frames = 0
        self._context: TextContext | None = None
        self._made_by = self._dit.revision
        """Revision of the transformer that the context is of."""
        self._has_arrived = self._is_changing = False
        self._wish_for(wanted_shares(settings))

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words that do nothing, of all prompts that are aimed at."""
        return self._unknown_words

    @property
    def has_arrived(self) -> bool:
        """What was asked for came into force with the last chunk."""
        return self._has_arrived

    @property
    def is_changing(self) -> bool:
        """The last chunk has another text than the one before."""
        return self._is_changing

    @property
    def is_blank(self) -> bool:
        """There was no text yet for the last chunk: nothing is to be painted with what was given for it."""
        return self._track is None

    @property
    def note(self) -> str:
        """Why the last chunk does not have the text that was asked for; empty: it has, or is on the way."""
        if self._wish is not None:
            return WAITS_FIRST if self._track is None else WAITS
        return self._fault

    def adopt(self, before: StreamSettings, now: StreamSettings) -> None:
        """Go from the text that was asked for to the one that is."""
        self._transition_frames = now.transition_frames
        if (before.prompt, before.mix) != (now.prompt, now.mix):
            self._wish_for(wanted_shares(now))

    def push(self, frames: int) -> TextContext:
        """The text of the next chunk, of so many video frames."""
        self._take_what_came()
        change = self._track.push(frames) if self._track else None
        self._is_changing = change is not None and self._context is not None
        self._has_arrived = change is not None and change.is_complete
        is_stale = self._made_by != self._dit.revision
        if change is not None or self._context is None or is_stale:
            self._made_by = self._dit.revision
            self._context = text_context(self._dit, self._track.now if self._track else self._blank)
        return self._context

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        if self._track:
            self._track.reset()

    def state(self, texts: Texts) -> StreamState:
        """What it remembers; keeps the text in force with the others of the stream."""
        facts = {
            "unknown_words": list(self._unknown_words),
            "context": None if self._context is None else texts.number(self._context),
            "wish": None if self._wish is None else msgspec.to_builtins(self._wish.shares),
            "fault": self._fault,
        }
        return StreamState.joined({} if self._track is None else {"track": self._track.state()}, facts)

    def restore(self, state: StreamState, texts: Texts) -> None:
        """Go on from a state of the same model; what it waited for is asked for again."""
        self._drop_wish()
        self._track = None
        if "track" in state.facts:
            self._track = PromptTrack(self._blank)
            self._track.restore(state.part("track"))
        self._unknown_words = tuple(state.fact("unknown_words", list))
        self._fault = state.fact("fault", str)
        has_context = state.facts.get("context") is not None
        self._context = texts.get(state.fact("context", int)) if has_context else None
        if state.facts.get("wish") is not None:
            self._wish = TextWish(self._encoder, _shares(state.fact("wish", list)))

    def _wish_for(self, shares: Sequence[PromptShare]) -> None:
        """The newest wish alone counts. What is there at once is taken at once."""
        self._drop_wish()
        self._wish = TextWish(self._encoder, shares)
        self._take_what_came()

    def _drop_wish(self) -> None:
        if self._wish is not None:
            self._wish.cancel()
        self._wish = None

    def _take_what_came(self) -> None:
        if self._wish is None or not self._wish.is_there:
            return
        wish, self._wish = self._wish, None
        try:
            encoded = wish.text()
        except TextError as error:
            self._fault = f"the prompt cannot be painted: {error}"
            return
        self._fault, self._unknown_words = "", encoded.unknown
        if self._track is None:
            self._track, self._context = PromptTrack(encoded.text), None
        else:
            self._track.aim(encoded.text, self._transition_frames)


def text_context(dit: CausalDiT, text: SoftText) -> TextContext:
    """Keys and values of a text, of one row, on the transformer's device."""
    device = dit.patch_embedding.weight.device
    tokens_SE, bias_S = text.tokens()
    # What Wan pads with is made on the device: it is most of the text, and nobody waits for its way there.
    tokens_SE = tokens_SE.to(device, dit.dtype, non_blocking=True)
    tokens_SE = functional.pad(tokens_SE, (0, 0, 0, text.zeros))
    if bias_S is None:
        return dit.text_context(tokens_SE[None])
    bias_S = functional.pad(bias_S.to(device, non_blocking=True), (0, text.zeros))
    return dit.text_context(tokens_SE[None], bias_S[None])


def _shares(facts: list[object]) -> tuple[PromptShare, ...]:
    try:
        return msgspec.convert(facts, tuple[PromptShare, ...])
    except msgspec.ValidationError as error:
        raise StateError(f"the state's wish is wrong: {error}") from error
