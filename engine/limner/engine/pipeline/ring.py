"""The pipeline as rank 0 drives it: whatever chunk may go on, goes on, until every rank has work.

One thread decides and computes rank 0's share; others wait for what comes round, and decode. None waits for
another: all that happens comes to the first one's inbox, but for pictures, which are handed out.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from limner.engine.device_lanes import tensors_in
from limner.engine.dit.context import TextContext
from limner.engine.errors import ChunkLostError
from limner.engine.noise import NoiseSource
from limner.engine.pipeline.arrivals import Arrivals
from limner.engine.pipeline.courses import Course, Flight
from limner.engine.pipeline.decode_place import DecodePlace
from limner.engine.pipeline.first import Answer, FirstRank, Pair
from limner.engine.pipeline.packets import VelocityPacket
from limner.engine.queues import Mark, Queue
from limner.engine.state import StreamState
from limner.engine.types import CleanChunk, NoisedChunk

POLL_S = 0.02
"""How often reports of ranks are looked at where nothing else happens."""

Result = TypeVar("Result")
Job = Callable[[], object]


class PipelineError(ChunkLostError):
    """The ranks cannot go on together. Chunks on their way are lost."""


class Ring:
    """Drives the ranks of one generation. Its public methods are for any thread."""

    def __init__(
        self,
        first: FirstRank,
        driving: Queue,
        arriving: Queue,
        *,
        decoding: DecodePlace,
        on_pause: Callable[[], None] = lambda: None,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """`driving`: the queue of the device that computes; `arriving`: one that only waits. `on_pause`:
        called by the thread that drives, between forwards and every now and then. `numbers`: of streams.
        `decoding` is closed with this."""
        self.first = first
        self._driving, self._on_pause = driving, on_pause
        self._inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._answers = Arrivals("limner-arriving", arriving, self.break_off)
        self.decoding, decoding.on_fault = decoding, self.break_off
        self._asked: set[Future[list[Tensor]]] = set()
        """Pasts that have not come round yet."""
        self._courses: dict[int, Course] = {}
        self._numbers, self._flights = numbers or itertools.count(), itertools.count()
        self._out = 0
        """Forwards that have not come round yet."""
        self._fault: BaseException | None = None
        self._is_over = False
        # What is collected as garbage meanwhile may be a stream, which is shut through the same entry.
        self._entry = threading.RLock()
        self._thread = threading.Thread(target=self._drive, name="limner-driving", daemon=True)
        self._thread.start()

    @property
    def fault(self) -> BaseException | None:
        """Why the ranks cannot go on together; None as long as they can."""
        return self._fault

    def do(self, work: Callable[[], Result]) -> Future[Result]:
        """Do something between two forwards, on the thread that drives. PipelineError once it has ended."""
        done: Future[Result] = Future()
        with self._entry:
            if not self._is_over:
                self._inbox.put(lambda: _settle(done, work))
                return done
        done.set_exception(PipelineError("the ranks of the pipeline cannot go on: it is closed"))
        return done

    def now(self, work: Callable[[], Result]) -> Result:
        """As `do`, and wait for it; also on the thread that drives."""
        return work() if self.is_driven_here else self.do(work).result()

    @property
    def is_driven_here(self) -> bool:
        """Whether this is the thread that drives."""
        return threading.current_thread() is self._thread

    def open(
        self, noise: NoiseSource, *, steps: int, latent_size: tuple[int, int], past: Course | None = None
    ) -> Course:
        """A new stream. PipelineError where the ranks cannot go on.

        `past`: what it was in a ring that is over. It goes on with the context of that, made again from the
        chunks that rank 0 remembers: the look does not change, and the next chunk takes longer.
        """
        return self.do(lambda: self._open(noise, steps, latent_size, past)).result()

    def shut(self, course: Course) -> None:
        """A stream is over, as soon as its chunks are."""
        self.do(lambda: self._shut(course))

    @property
    def queue(self) -> Queue:
        """Of the device, where chunks are denoised."""
        return self._driving

    def denoise(
        self, course: Course, chunk: NoisedChunk, ready: Mark | None = None
    ) -> Future[list[CleanChunk]]:
        """A chunk through all rows and ranks, and decoded. PipelineError in the future where they cannot.

        `ready`: where the queue will be that makes the chunk; None: it is made. The future is done when all
        was handed to the device: who needs the pictures on another queue waits there for `Decoded.ready`.
        """
        flight = Flight(chunk, next(self._flights))
        begun = self.do(lambda: self._begin(course, flight, ready))
        begun.add_done_callback(partial(_pass_on_fault, done=flight.done))
        return flight.done

    def resume(self, course: Course, chunks: Sequence[NoisedChunk]) -> list[Future[list[CleanChunk]]]:
        """Chunks of a state go on, the newest first in both lists; each has taken one row more than the next.

        Before other chunks of their stream.
        """
        flights = [Flight(chunk, next(self._flights), row) for row, chunk in enumerate(chunks, 1)]
        begun = self.do(lambda: self._resume(course, flights))
        for flight in flights:
            begun.add_done_callback(partial(_pass_on_fault, done=flight.done))
        return [flight.done for flight in flights]

    def past(self, course: Course, layer: int, given: Pair | None = None) -> Future[list[Tensor]]:
        """What a stream without chunks on their way remembers in a block: keys and values, [R, W*L, H, K].

        `given`: is what it remembers there from now on.
        """
        found: Future[list[Tensor]] = Future()
        begun = self.do(lambda: self._ask_past(course, layer, given, found))
        begun.add_done_callback(partial(_pass_on_fault, done=found))
        return found

    def decoder_past(self, course: Course, given: StreamState | None = None) -> Future[StreamState]:
        """The same of its decoder, wherever that is, as its `VaeStream` gives and takes it.

        StateError in the future when what is given is of another decoder.
        """
        found: Future[StreamState] = Future()
        begun = self.do(lambda: self._ask_decoder(course, given, found))
        begun.add_done_callback(partial(_pass_on_fault, done=found))
        return found

    def reset(self, course: Course) -> Future[None]:
        """Forget the history of a stream that has no chunks on their way."""
        return self.do(lambda: self._reset(course))

    def break_off(self, fault: BaseException) -> None:
        """The ranks cannot go on: all chunks on their way fail with a PipelineError."""
        self._inbox.put(lambda: self._break(fault))

    def close(self) -> None:
        """End all threads; chunks on their way are lost. The other ranks are not told.

        Where some of them cannot answer any more, their group has to be aborted before.
        """
        self.break_off(PipelineError("the pipeline is closed"))
        self._inbox.put(self._end)
        self._thread.join()
        self._answers.join()
        self.decoding.end()

    def _drive(self) -> None:
        with torch.inference_mode(), self._driving:
            while not self._is_over:
                try:
                    self._step()
                except BaseException as fault:  # The ranks may no longer agree on what comes next.
                    self._break(fault)
            while not self._inbox.empty():  # Whoever waits for a job is told how it ended.
                self._inbox.get()()

    def _step(self) -> None:
        """Do what has come, or let a flight go on; else wait."""
        self._on_pause()
        forward, began_s = self._next(), time.perf_counter()
        try:
            job = self._inbox.get(block=forward is None, timeout=POLL_S)
            self.first.times.waited(time.perf_counter() - began_s)
        except queue.Empty:
            self.first.times.waited(time.perf_counter() - began_s)
            if forward is not None:
                forward()
        else:
            job()

    def _next(self) -> Job | None:
        if self._fault is not None or self._out > self.first.size:
            return None
        for course in self._courses.values():
            if course.past:
                return partial(self._see_again, course)
        ready = [(course, course.next()) for course in self._courses.values()]
        flights = [(course, flight) for course, flight in ready if flight is not None]
        oldest = min(flights, key=lambda pair: pair[1].number, default=None)
        return None if oldest is None else partial(self._take_row, *oldest)

    def _take_row(self, course: Course, flight: Flight) -> None:
        """What a chunk does to the history of the row that it enters, and the row itself."""
        chunk, row, first = flight.chunk, flight.row, self.first
        if row == 0:
            self._make_fit(course, chunk)
        if chunk.is_cut or chunk.is_clean:
            first.reset_row(course, row)
        elif chunk.recache:
            self._recache(course, row, chunk.text)
        flight.row += 1
        if chunk.is_clean:
            self._land(course)
            return
        flight.waits = True
        self._forward(course, row, (chunk.x_TCHW, chunk.told_N[row], chunk.text), flight)

    def _make_fit(self, course: Course, chunk: NoisedChunk) -> None:
        if chunk.latent_size != course.window.latent_size:
            course.window = self.first.window(course.number, chunk.steps, chunk.latent_size)
        elif chunk.steps != course.window.rows:
            self.first.set_rows(course, chunk.steps)
        course.text = chunk.text
        self.first.know(chunk.text, self._needed_texts)

    def _recache(self, course: Course, row: int, text: TextContext) -> None:
        """As `Denoiser.recache`, for one row. What comes round of it is of no use."""
        newest = course.window.inputs(row)[-1:]
        self.first.reset_row(course, row)
        for x_TCHW, told in newest:
            self._forward(course, row, (x_TCHW, told, text), None)

    def _forward(
        self, course: Course, row: int, what: tuple[Tensor, Tensor, TextContext], flight: Flight | None
    ) -> None:
        answer = self.first.forward(course, row, *what)
        self._out += 1
        if answer.packet is not None:
            self._come(answer.packet, answer, course, flight, row)
            return
        assert answer.arriving is not None
        self._answers.put(
            answer.arriving, lambda packet_B: self._arrived(packet_B, answer, course, flight, row)
        )

    def _arrived(
        self, packet_B: Tensor | None, answer: Answer, course: Course, flight: Flight | None, row: int
    ) -> None:
        """On the thread that waits for it."""
        if packet_B is None:
            return

        def come() -> None:
            self._come(VelocityPacket.over(answer.layout, packet_B), answer, course, flight, row)
            self.first.buffers.give(packet_B, self._driving)

        self._inbox.put(come)

    def _come(
        self, packet: VelocityPacket, answer: Answer, course: Course, flight: Flight | None, row: int
    ) -> None:
        self._out -= 1
        if self._fault is not None:
            return
        if packet.votes_TS is not None and course.window.era(row) is answer.era:
            for votes_S, x_CHW in zip(packet.votes_TS, answer.x_TCHW, strict=True):
                course.window.replace_sinks(row, votes_S, x_CHW, answer.told)
        if flight is not None:
            course.come(flight, packet.velocity_RTCHW[0].float())
            self._land(course)

    def _land(self, course: Course) -> None:
        for flight, clean in course.landed():
            self.decoding.decode(course.number, clean, flight.done)
        if course.is_closing:
            self._shut(course)

    def _begin(self, course: Course, flight: Flight, ready: Mark | None) -> None:
        self._check()
        if ready is not None:
            self._driving.after(ready)
            self._driving.use(tensors_in(flight.chunk, but=course.text))
        course.flights.append(flight)

    def _resume(self, course: Course, flights: Sequence[Flight]) -> None:
        self._check()
        course.flights.extend(reversed(flights))
        for flight in course.flights:
            course.text = flight.chunk.text
            self.first.know(course.text, self._needed_texts)

    def _ask_past(self, course: Course, layer: int, given: Pair | None, found: Future[list[Tensor]]) -> None:
        self._check()
        while course.past:
            self._see_again(course)
        layout, arriving, packet_B = self.first.past(course.number, layer, given)
        if arriving is None:
            found.set_result(layout.views(packet_B))
            return
        self._asked.add(found)

        def come(packet_B: Tensor | None) -> None:
            if packet_B is not None and found in self._asked:
                self._asked.discard(found)
                found.set_result(layout.views(packet_B))

        self._answers.put(arriving, lambda packet_B: self._inbox.put(lambda: come(packet_B)))

    def _ask_decoder(self, course: Course, given: StreamState | None, found: Future[StreamState]) -> None:
        self._check()
        self.decoding.past(course.number, course.window.latent_size, given, found)

    def _open(
        self, noise: NoiseSource, steps: int, latent_size: tuple[int, int], past: Course | None
    ) -> Course:
        self._check()
        number = next(self._numbers)
        course = Course(number, noise, self.first.window(number, steps, latent_size))
        self._courses[number] = course
        if past is not None:
            course.shown.extend(past.shown)
            self.decoding.remember(number, tuple(past.shown), was=past.number)
            if past.text is not None:
                self._remember(course, past, past.text)
        return course

    def _remember(self, course: Course, past: Course, text: TextContext) -> None:
        """Make the context of a stream again. A change of steps or size begins anew as ever."""
        if (past.window.rows, past.window.latent_size) != (course.window.rows, course.window.latent_size):
            return
        course.text = text
        self.first.know(text, self._needed_texts)
        for row in range(past.window.rows):
            # Not all at once: each rank has a buffer ready for whatever is on its way.
            course.past.extend((row, (x_TCHW, told, text)) for x_TCHW, told in past.window.inputs(row))

    def _see_again(self, course: Course) -> None:
        self._forward(course, *course.past.popleft(), None)

    def _shut(self, course: Course) -> None:
        course.is_closing = True
        if not course.flights and self._courses.pop(course.number, None) is not None:
            self.first.close(course.number)
            self.decoding.close(course.number)

    def _reset(self, course: Course) -> None:
        self._check()
        course.past.clear()
        course.shown.clear()
        self.decoding.reset(course.number)
        for row in range(course.window.rows):
            self.first.reset_row(course, row)

    def _needed_texts(self) -> list[TextContext]:
        courses = self._courses.values()
        flying = [flight.chunk.text for course in courses for flight in course.flights]
        return flying + [course.text for course in courses if course.text is not None]

    def _check(self) -> None:
        if self._fault is not None:
            raise PipelineError(f"the ranks of the pipeline cannot go on: {self._fault}") from self._fault

    def _break(self, fault: BaseException) -> None:
        if self._fault is not None:
            return
        self._fault = fault
        words = f"the ranks of the pipeline cannot go on: {fault}"
        for course in self._courses.values():
            for flight in course.flights:
                flight.done.set_exception(PipelineError(words))
            course.flights.clear()
        self.decoding.break_off(PipelineError(words))
        for asked in self._asked:
            asked.set_exception(PipelineError(words))
        self._asked.clear()

    def _end(self) -> None:
        with self._entry:
            self._is_over = True
        self._answers.end()


def _settle(done: Future[Result], work: Callable[[], Result]) -> None:
    try:
        result = work()
    except BaseException as fault:  # It belongs to who asked for the work.
        done.set_exception(fault)
    else:
        done.set_result(result)


def _pass_on_fault(begun: Future[None], done: Future[Any]) -> None:
    if (fault := begun.exception()) is not None:
        done.set_exception(fault)
