"""What a text encoder is asked for, and what it knows. For whoever holds the encoder's lock."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future

from limner.engine.errors import TextError
from limner.engine.text import TextEmbedding

KNOWN_BYTES = 128 << 20
"""Of the texts that are kept in memory; about 200 prompts of 40 tokens."""


class Job:
    """A prompt and all who wait for it."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.order = 0
        """The greatest is done first."""
        self.waiting: list[Future[TextEmbedding]] = []

    @property
    def is_wanted(self) -> bool:
        """Somebody still waits."""
        return not all(asked.cancelled() for asked in self.waiting)

    def answer(self, embedding: TextEmbedding) -> None:
        """Give it to all who still wait."""
        for asked in self.waiting:
            if asked.set_running_or_notify_cancel():
                asked.set_result(embedding)

    def fail(self, error: TextError) -> None:
        """Tell all who still wait."""
        for asked in self.waiting:
            if asked.set_running_or_notify_cancel():
                asked.set_exception(error)

    def cancel(self) -> None:
        """Nobody is to wait any more."""
        for asked in self.waiting:
            asked.cancel()


class Jobs:
    """One job a prompt, however many ask. What is urgent goes first, the newest first; the rest in order."""

    def __init__(self) -> None:
        self._by_prompt: dict[str, Job] = {}
        self._asked = 0

    def __bool__(self) -> bool:
        return bool(self._by_prompt)

    def add(self, prompt: str, asked: Future[TextEmbedding], *, is_urgent: bool) -> None:
        """One more who waits."""
        self._asked += 1
        is_new = prompt not in self._by_prompt
        job = self._by_prompt.setdefault(prompt, Job(prompt))
        job.waiting.append(asked)
        if is_urgent:
            job.order = self._asked
        elif is_new:
            job.order = -self._asked

    def next(self) -> Job | None:
        """What to do now: it stays here, so that whoever asks meanwhile gets its answer, until it is `done`.

        What nobody wants any more is forgotten.
        """
        self._by_prompt = {prompt: job for prompt, job in self._by_prompt.items() if job.is_wanted}
        return max(self._by_prompt.values(), key=lambda job: job.order, default=None)

    def next_after(self, job: Job) -> Job | None:
        """What to do when a job is begun: go on with it, unless nobody wants it, or only another is urgent.

        Of two urgent ones the one that is begun is finished: else who asks faster than that gets nothing.
        """
        best = self.next()
        if best is not None and best.order > 0 >= job.order:
            return best
        return job if job.is_wanted else best

    def done(self, job: Job) -> None:
        """Take it out; nobody more will wait for it."""
        if self._by_prompt.get(job.prompt) is job:
            del self._by_prompt[job.prompt]

    def take_all(self) -> list[Job]:
        """Take out all there are."""
        jobs, self._by_prompt = list(self._by_prompt.values()), {}
        return jobs


class Known:
    """The texts that were used last."""

    def __init__(self, limit_bytes: int = KNOWN_BYTES) -> None:
        self._texts: OrderedDict[str, TextEmbedding] = OrderedDict()
        self._room_bytes = limit_bytes

    def get(self, prompt: str) -> TextEmbedding | None:
        """The text of a cleaned prompt, if it is there."""
        text = self._texts.get(prompt)
        if text is not None:
            self._texts.move_to_end(prompt)
        return text

    def put(self, prompt: str, text: TextEmbedding) -> None:
        """Keep it, at the cost of those that were not used for longest."""
        if prompt in self._texts:
            return
        self._texts[prompt] = text
        self._room_bytes -= text.text.embedding_LE.nbytes
        while self._room_bytes < 0 and len(self._texts) > 1:
            _, gone = self._texts.popitem(last=False)
            self._room_bytes += gone.text.embedding_LE.nbytes
