"""What the transformer is told of the text, chunk by chunk; made anew only when the text is another."""

from __future__ import annotations

from limner.engine.blend import SoftText
from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.flights import Texts
from limner.engine.model import Model
from limner.engine.prompts import PromptTrack, wanted_text
from limner.engine.state import StreamState
from limner.engine.types import StreamSettings


class TextStage:
    """Turns settings into the text context of each chunk. Keys and values are made once per change."""

    def __init__(self, model: Model, settings: StreamSettings) -> None:
        self._encoder, self._dit = model.text, model.dit
        encoded = wanted_text(self._encoder, settings)
        self._unknown_words = encoded.unknown
        self._track = PromptTrack(encoded.text)
        self._context: TextContext | None = None
        self._has_arrived = self._is_changing = False

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words that do nothing, of all prompts that are asked for."""
        return self._unknown_words

    @property
    def has_arrived(self) -> bool:
        """What was asked for came into force with the last chunk."""
        return self._has_arrived

    @property
    def is_changing(self) -> bool:
        """The last chunk has another text than the one before."""
        return self._is_changing

    def adopt(self, before: StreamSettings, now: StreamSettings) -> None:
        """Go from the text that was asked for to the one that is."""
        if (before.prompt, before.mix) != (now.prompt, now.mix):
            encoded = wanted_text(self._encoder, now)
            self._unknown_words = encoded.unknown
            self._track.aim(encoded.text, now.transition_frames)

    def push(self, frames: int) -> TextContext:
        """The text of the next chunk, of so many video frames."""
        change = self._track.push(frames)
        self._is_changing = change is not None and self._context is not None
        self._has_arrived = change is not None and change.is_complete
        if change is not None or self._context is None:
            self._context = text_context(self._dit, self._track.now)
        return self._context

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        self._track.reset()

    def state(self, texts: Texts) -> StreamState:
        """What it remembers; keeps the text in force with the others of the stream."""
        context = None if self._context is None else texts.number(self._context)
        facts = {"unknown_words": list(self._unknown_words), "context": context}
        return StreamState.joined({"track": self._track.state()}, facts)

    def restore(self, state: StreamState, texts: Texts) -> None:
        """Go on from a state of the same model."""
        self._track.restore(state.part("track"))
        self._unknown_words = tuple(state.fact("unknown_words", list))
        has_context = state.facts.get("context") is not None
        self._context = texts.get(state.fact("context", int)) if has_context else None


def text_context(dit: CausalDiT, text: SoftText) -> TextContext:
    """Keys and values of a text, of one row, on the transformer's device."""
    device = dit.patch_embedding.weight.device
    tokens_SE, bias_S = text.tokens()
    bias_1S = None if bias_S is None else bias_S[None].to(device)
    return dit.text_context(tokens_SE[None].to(device, dit.dtype), bias_1S)
