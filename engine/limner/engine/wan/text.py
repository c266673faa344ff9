"""Wan's text encoder, UMT5-XXL: 11 GB that are there only while a prompt has to be encoded.

What was encoded once is kept, in memory and on disk. The rest happens on a thread that lives as long as there
is something to encode and some time after; nobody who asks ever waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch

from limner.engine.blend import SoftText
from limner.engine.errors import EngineError, TextError
from limner.engine.text import TextEmbedding
from limner.engine.wan.text_cache import TextCache
from limner.engine.wan.text_clean import cleaned
from limner.engine.wan.text_jobs import Job, Jobs, Known

log = logging.getLogger(__name__)
IDLE_S = 30.0
"""The encoder stays loaded so long after the last prompt: who tries prompts, tries several."""
_CLOSE_S = 5.0
_STAND_IN = "\ue000"
"""A letter that no font has, so that nobody means it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Umt5Config:
    """What the rest of the model must know of the text encoder; its own sizes are those of its weights."""

    kind: Literal["umt5"] = "umt5"
    """Which text encoder: this one."""
    dim: int = 4096
    """Width of a token, ≥ 1."""
    length: int = 512
    """Tokens of a text, the zeros after a prompt's own included; words beyond it are dropped. ≥ 1."""

    def __post_init__(self) -> None:
        for name in ("dim", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"text.{name} must be at least 1, not {getattr(self, name)}")


GoOn = Callable[[], None]
"""Called often by what takes long; raises where its result is of no use any more."""


class PromptEncoder(Protocol):
    """A loaded text encoder, for one thread."""

    def encode(self, prompt: str, go_on: GoOn) -> TextEmbedding:
        """A cleaned prompt. TextError, or what a lack of memory raises."""

    def free(self) -> None:
        """Give its memory back; nobody calls it after."""


Load = Callable[[GoOn], PromptEncoder]


class _Interrupted(Exception):  # noqa: N818  # Nothing is wrong.
    """Something else is wanted now."""


class Umt5Text:
    """A `TextEncoder` (see parts.py) that encodes on a thread of its own and keeps what it did.

    A failure is told to everyone who waits for that prompt; the next who asks makes it try again.
    """

    def __init__(self, config: Umt5Config) -> None:
        """It knows no prompt until it is connected."""
        self.config = config
        self._load: Load = _nothing_to_load
        self._cache: TextCache | None = None
        self._idle_s = IDLE_S
        self._blank = TextEmbedding(text=SoftText.blank(config.dim, config.length), unknown=())
        self._changed = threading.Condition()
        # All below under this condition.
        self._jobs, self._known = Jobs(), Known()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_loaded = self._shall_go = False

    @property
    def stand_in(self) -> str:
        """A prompt for which zeros stand, which is what most of every text of Wan is."""
        return _STAND_IN

    def connect(
        self,
        load: Load,
        *,
        cache: TextCache | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        """Say how to load the encoder, where to keep texts, how long the encoder stays. Before any use."""
        self._load, self._cache, self._idle_s = load, cache, idle_s

    def encode(self, prompt: str) -> TextEmbedding:
        """Encode and wait. Raises TextError."""
        return self.ask(prompt).result()

    def ask(self, prompt: str) -> Future[TextEmbedding]:
        """Encode before all that was asked for earlier. At once where the text is in memory."""
        return self._ask(prompt, is_urgent=True)

    def prepare(self, prompts: Sequence[str]) -> list[Future[TextEmbedding]]:
        """Encode in this order, after all that is asked for."""
        return [self._ask(prompt, is_urgent=False) for prompt in prompts]

    def let_go(self, patience_s: float = 2.0) -> bool:
        """Somebody needs the memory: the encoder goes when it is idle. Whether it did, in so long a time."""
        with self._changed:
            if not self._is_loaded:
                return False
            self._shall_go = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._is_loaded, patience_s)

    def close(self) -> None:
        """Encode nothing more, and end the thread."""
        with self._changed:
            self._is_closed = True
            left, thread = self._jobs.take_all(), self._thread
            self._changed.notify_all()
        for job in left:
            job.cancel()
        if thread is not None:
            thread.join(_CLOSE_S)

    def _ask(self, prompt: str, *, is_urgent: bool) -> Future[TextEmbedding]:
        asked: Future[TextEmbedding] = Future()
        text = cleaned(prompt)
        with self._changed:
            known = self._blank if text == _STAND_IN else self._known.get(text)
            if known is not None:
                asked.set_result(known)
            elif self._is_closed:
                asked.set_exception(TextError("the text encoder was closed"))
            else:
                self._jobs.add(text, asked, is_urgent=is_urgent)
                self._wake()
        return asked

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="limner-text", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    # ---- on the thread

    def _work(self) -> None:
        encoder: PromptEncoder | None = None
        while True:
            job = self._next_job(wait=encoder is not None)
            if job is not None:
                encoder = self._do(job, encoder)
                self._note(is_loaded=encoder is not None)
            elif encoder is not None:
                _free(encoder)
                encoder = None
                self._note(is_loaded=False)
            elif self._may_end():
                return

    def _note(self, *, is_loaded: bool) -> None:
        with self._changed:
            self._is_loaded = is_loaded
            self._shall_go = self._shall_go and is_loaded
            self._changed.notify_all()

    def _next_job(self, *, wait: bool) -> Job | None:
        """The next thing to do; with `wait`, something may come within the idle time."""
        with self._changed:
            if wait:
                self._changed.wait_for(self._is_wanted, self._idle_s)
            return self._jobs.next()

    def _is_wanted(self) -> bool:
        """The thread has something to do."""
        return bool(self._jobs) or self._is_closed or self._shall_go

    def _may_end(self) -> bool:
        with self._changed:
            if self._jobs:
                return False
            self._thread = None
            return True

    def _do(self, job: Job, encoder: PromptEncoder | None) -> PromptEncoder | None:
        """One job; the encoder, if it is loaded after that."""
        try:
            embedding = None if self._cache is None else self._cache.get(job.prompt)
            if embedding is None:
                if encoder is None:
                    encoder = self._load(self._go_on_loading)
                    self._note(is_loaded=True)
                embedding = encoder.encode(job.prompt, partial(self._go_on_with, job))
                if self._cache is not None:
                    self._cache.put(job.prompt, embedding)
        except _Interrupted:
            return encoder
        # The top of this thread: whatever it is, those who wait are told, and the stream goes on.
        except Exception as error:
            self._fail(job, error, is_loaded=encoder is not None)
            if encoder is not None:
                _free(encoder)
            return None
        with self._changed:
            self._known.put(job.prompt, embedding)
            self._jobs.done(job)
        job.answer(embedding)
        return encoder

    def _go_on_loading(self) -> None:
        # Whatever is to be encoded, it is needed for that.
        if self._is_closed:
            raise _Interrupted

    def _go_on_with(self, job: Job) -> None:
        """A prompt that nobody wants any more, or that is only prepared, makes way for one that is wanted."""
        with self._changed:
            if self._is_closed or self._jobs.next_after(job) is not job:
                raise _Interrupted

    def _fail(self, job: Job, error: Exception, *, is_loaded: bool) -> None:
        """What cannot be loaded fails for all: trying again for each would keep the machine busy."""
        log.error("cannot encode a prompt", exc_info=error)
        with self._changed:
            self._jobs.done(job)
            failed = [job] if is_loaded else [job, *self._jobs.take_all()]
        for one in failed:
            one.fail(_named(error))


def _free(encoder: PromptEncoder) -> None:
    """Whatever a device says to that: without its thread, every prompt would be waited for in vain."""
    try:
        encoder.free()
    except Exception as error:
        log.error("cannot free the text encoder", exc_info=error)


def _named(error: Exception) -> TextError:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        return TextError(
            "there is not enough memory for the text encoder; close other programs and try again"
        )
    if isinstance(error, EngineError):
        return TextError(str(error))
    return TextError(f"the text encoder failed ({type(error).__name__}: {error})")


def _nothing_to_load(_: GoOn) -> PromptEncoder:
    raise TextError("the model was loaded without a text encoder; give its files")
