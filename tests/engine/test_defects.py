"""Defects 1 to 6 of the reference implementation: each has a check, and a broken variant that it catches.

Defect 7, the queue that drops nothing, is the worker's (see the tests of its intake).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.engine.film import Film, dit_of
from tests.engine.streaming import clip, denoiser_of, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.engine.denoiser import Denoiser
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.places import slot_of
from limner.engine.motion import MotionController
from limner.engine.state import StreamState
from limner.engine.types import NoisedChunk

Break = Callable[[pytest.MonkeyPatch], None]


def caught(check: Callable[[], None], broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check passes, and with the defect brought back it does not."""
    check()
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        check()


# 1. The third sink is always overwritten at the first overflow, since an empty slot counts as "not similar".


def sinks_outlive_the_overflow() -> None:
    film = Film(dit_of(sinks=3, threshold=0.2))
    for number in range(20):
        film.push((0, number))
        assert film.seen()[:3] == [0, 1, 2][: number + 1]


def third_sink_counts_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = KVCache._pooled

    def forgetful(self: KVCache, row: int, slot: int) -> Tensor:
        return pooled(self, row, slot) * (slot != 2)

    monkeypatch.setattr(KVCache, "_pooled", forgetful)


def sinks_wait_for_a_full_window() -> None:
    film = Film(dit_of(sinks=3, threshold=0.2))
    for number in range(6):
        film.push((number, number))
        assert film.seen() == list(range(number + 1))


def empty_slots_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KVCache, "_may_replace_sinks", lambda self, row: True)


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (sinks_outlive_the_overflow, third_sink_counts_as_empty),
        (sinks_wait_for_a_full_window, empty_slots_count),
    ],
)
def test_1_empty_slots_are_empty(
    check: Callable[[], None], broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught(check, broken, monkeypatch)


# 2. Restarting a stream or changing the prompt leaves stale eviction entries: no longer first in, first out.


def restarting_evicts_as_a_new_stream_does() -> None:
    for before in range(12):
        film = Film(dit_of(sinks=3, threshold=0.0))
        for number in range(before):
            film.push((0, 100 + number))
        film.window.reset()
        for number in range(9):
            film.push((0, number))
            newest = range(max(3, number - 2), number + 1)
            assert film.seen() == [*range(min(3, number + 1)), *newest]


def reset_leaves_the_ring_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset_row(self: KVCache, row: int) -> None:
        self._keys[:, row].zero_()
        self._values[:, row].zero_()

    monkeypatch.setattr(KVCache, "reset_row", reset_row)


def test_2_eviction_stays_first_in_first_out(monkeypatch: pytest.MonkeyPatch) -> None:
    caught(restarting_evicts_as_a_new_stream_does, reset_leaves_the_ring_where_it_is, monkeypatch)


def test_2_a_new_prompt_leaves_the_window_as_it_is() -> None:
    stream, always = stream_of(tiny_engine(), steps=2), stream_of(tiny_engine(), steps=2)
    for i, chunk in enumerate(clip(11)):
        stream.update(settings_of(steps=2, prompt="neon" if i % 3 else "oil"))
        stream.push(chunk)
        always.push(chunk)
        one, other = denoiser_of(stream)._window, denoiser_of(always)._window
        assert one.cache.counts == other.cache.counts
        assert [one.cache.order(row) for row in range(2)] == [other.cache.order(row) for row in range(2)]


# 3. With 2 or more unbatched steps, the chunk that fills the cache leaves half-denoised keys in another slot.


def every_row_holds_one_noise_level() -> None:
    for steps in (2, 4):
        stream = stream_of(tiny_engine(), steps=steps, stream_batch=False, motion_aware=False)
        for chunk in clip(7):
            noised = stream.encode(chunk)
            stream.denoise(noised)
            window = denoiser_of(stream)._window
            for row in range(steps):
                told = torch.stack([told for _, told in window.inputs(row)])
                assert torch.equal(told, noised.told_N[row].expand_as(told))


def all_steps_share_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Denoiser._forward
    monkeypatch.setattr(
        Denoiser, "_forward", lambda self, rows, *others: forward(self, [0 for _ in rows], *others)
    )


def test_3_no_half_denoised_keys_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    caught(every_row_holds_one_noise_level, all_steps_share_a_row, monkeypatch)


# 4. What is moved in the middle of a stream continues with a wrong cache; two slots freeze.


def a_moved_stream_goes_on() -> None:
    for at in (2, 5, 6):
        stream, copy, chunks = stream_of(tiny_engine(), steps=2), stream_of(tiny_engine()), clip(at + 6)
        for chunk in chunks[:at]:
            stream.push(chunk)
        copy.restore(stream.state())
        here, there = painted(stream, chunks[at:]), painted(copy, chunks[at:])
        assert torch.equal(frames_of(here), frames_of(there))


def ring_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = KVCache.restore

    def restored(self: KVCache, state: StreamState) -> None:
        restore(self, state)
        self._counts = [min(count, self.config.window_frames) for count in self._counts]

    monkeypatch.setattr(KVCache, "restore", restored)


def tensors_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def restored(self: KVCache, state: StreamState) -> None:
        self._counts = list(state.fact("counts", list))

    monkeypatch.setattr(KVCache, "restore", restored)


@pytest.mark.parametrize("broken", [ring_begins_anew, tensors_stay_behind])
def test_4_what_is_moved_keeps_its_cache(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    caught(a_moved_stream_goes_on, broken, monkeypatch)


# 5. A chunk of 2 latent frames overwrites a sink.


def chunks_of_any_length_keep_the_sinks() -> None:
    for lengths in ((2,), (3,), (1, 2), (2, 3, 1)):
        film, number = Film(dit_of(sinks=3, threshold=0.0)), 0
        for i in range(40):
            frames = lengths[i % len(lengths)]
            film.push(*((0, number + j) for j in range(frames)))
            number += frames
            if number >= 6:
                assert film.seen() == [0, 1, 2, number - 3, number - 2, number - 1]


def slots_of_a_chunk_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def slots_for(self: KVCache, count: int, frames: int) -> tuple[int, ...]:
        window = self.config.window_frames
        first = slot_of(count, sinks=self.config.sink_frames, window=window)
        return tuple((first + i) % window for i in range(frames))

    monkeypatch.setattr(KVCache, "_slots_for", slots_for)


def test_5_no_chunk_overwrites_a_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    caught(chunks_of_any_length_keep_the_sinks, slots_of_a_chunk_run_on, monkeypatch)


# 6. The session's timestep leaks into the next session's start.


def a_restart_begins_at_its_own_noise_level() -> None:
    engine, fast, still = tiny_engine(), clip(5), clip(1)[0][:1].expand(4, -1, -1, -1)
    stream = stream_of(engine, steps=3)
    for chunk in fast:
        stream.push(chunk)
    stream.reset()
    first, expected = stream.encode(still), stream_of(engine, steps=3).encode(still)
    assert same_start(first, expected)


def same_start(a: NoisedChunk, b: NoisedChunk) -> bool:
    tensors = ("strength", "sigmas_N", "told_N", "x_TCHW")
    return a.index == b.index and all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)


def motion_outlives_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MotionController, "reset", lambda self: None)


def test_6_nothing_of_a_session_leaks_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    caught(a_restart_begins_at_its_own_noise_level, motion_outlives_the_session, monkeypatch)
