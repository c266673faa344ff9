"""The rolling cache: what a row sees, at every length of stream."""

from __future__ import annotations

import random

import pytest
import torch

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.places import slot_of, slot_places
from limner.engine.dit.view import MOST_INDICES

GRID = (2, 3)
TOKENS = GRID[0] * GRID[1]
CPU = torch.device("cpu")


def config_of(window: int, sinks: int) -> DiTConfig:
    return DiTConfig(
        latent_channels=4,
        dim=16,
        ffn_dim=32,
        heads=2,
        layers=1,
        text_dim=8,
        window_frames=window,
        sink_frames=sinks,
    )


def cache_of(window: int = 4, sinks: int = 1, rows: int = 1) -> KVCache:
    return KVCache(config_of(window, sinks), rows=rows, grid=GRID, device=CPU, dtype=torch.float32)


def push(cache: KVCache, value: float, *, rows: range = range(1), frames: int = 1) -> torch.Tensor:
    """One chunk whose values are `value`, value + 1, ... by frame; keys are zero, so all weigh the same."""
    shape = (len(rows), frames * TOKENS, 2, 8)
    values = torch.arange(frames).repeat_interleave(TOKENS).add(value).view(1, -1, 1, 1).expand(shape)
    cache.begin(rows=rows, frames=frames)
    out = cache.attend(0, torch.zeros(shape), torch.zeros(shape), values)
    cache.commit()
    return out[:, 0, 0]


CHUNKS = 5000
LENGTHS = {1: (1,), 2: (2,), 3: (3,), 4: (4,), "mixed": (1, 2, 3, 4)}


def in_window(end: int, sinks: int, ring: int) -> list[int]:
    """Frames of a stream of `end` frames that the window holds, in order."""
    return list(range(end)) if end <= sinks + ring else [*range(sinks), *range(end - ring, end)]


@pytest.mark.parametrize("ring", [4, 5])
@pytest.mark.parametrize("sinks", [0, 1, 3])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=map(str, LENGTHS))
def test_evicts_first_in_first_out_at_every_chunk_length(
    lengths: tuple[int, ...], sinks: int, ring: int
) -> None:
    draw, count = random.Random(1), 0
    held: dict[int, int] = {}
    for _ in range(CHUNKS):
        for _ in range(draw.choice(lengths)):
            held[slot_of(count, sinks=sinks, window=sinks + ring)] = count
            count += 1
        places = slot_places(count, sinks=sinks, window=sinks + ring)
        in_order = sorted(held, key=places.__getitem__)
        assert [held[slot] for slot in in_order] == in_window(count, sinks, ring)


@pytest.mark.parametrize("sinks", [0, 1, 3])
@pytest.mark.parametrize("lengths", [(1,), (1, 2, 3, 4)], ids=["1", "mixed"])
def test_attention_sees_what_should_be_in_the_window_for_thousands_of_chunks(
    lengths: tuple[int, ...], sinks: int
) -> None:
    cache, draw, count = cache_of(window=sinks + 4, sinks=sinks), random.Random(2), 0
    for chunk in range(CHUNKS):
        frames = draw.choice(lengths)
        seen = push(cache, count, frames=frames)
        count += frames
        if chunk < 20 or chunk % 7 == 0:
            expected = in_window(count, sinks, 4)
            assert seen.item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    assert len(cache._view._indices) <= MOST_INDICES


def test_places_stay_inside_the_window_and_the_newest_is_last() -> None:
    for count in range(1, 10_000):
        places = slot_places(count, sinks=3, window=6)
        assert sorted(places) == list(range(min(count, 6)))
        assert places[slot_of(count - 1, sinks=3, window=6)] == len(places) - 1


def test_the_last_sink_survives_the_first_overflow() -> None:
    slots = [slot_of(frame, sinks=3, window=6) for frame in range(20)]
    assert slots[:6] == [0, 1, 2, 3, 4, 5]
    assert all(slot >= 3 for slot in slots[3:])


def test_empty_slots_are_empty() -> None:
    cache = cache_of()
    cache._values.fill_(1e6)
    assert push(cache, 5.0).item() == pytest.approx(5.0)


def test_rows_that_are_not_equally_full_do_not_see_empty_slots() -> None:
    cache = cache_of(rows=2)
    cache._values.fill_(1e6)
    push(cache, 1.0)
    push(cache, 3.0)
    assert push(cache, 8.0, rows=range(2)).tolist() == pytest.approx([4.0, 8.0])
    assert cache.counts == (3, 1)


def test_rows_remember_apart() -> None:
    cache = cache_of(rows=2)
    push(cache, 1.0, rows=range(2))
    push(cache, 9.0, rows=range(1, 2))
    assert push(cache, 2.0, rows=range(2)).tolist() == pytest.approx([1.5, 4.0])


def test_reset_is_exact() -> None:
    cache = cache_of()
    first = [push(cache, float(value)) for value in (3, 1, 4, 1, 5, 9)]
    cache.reset()
    second = [push(cache, float(value)) for value in (3, 1, 4, 1, 5, 9)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_new_rows_begin_with_the_last_ones_history() -> None:
    cache = cache_of(rows=2)
    push(cache, 1.0, rows=range(2))
    push(cache, 7.0, rows=range(1, 2))
    more = cache.with_rows(4)
    assert more.counts == (1, 2, 2, 2)
    assert push(more, 4.0, rows=range(4)).tolist() == pytest.approx([2.5, 4.0, 4.0, 4.0])


def test_fewer_rows_keep_the_first_ones() -> None:
    cache = cache_of(rows=3)
    for row in range(3):
        push(cache, 2.0 * row, rows=range(row, row + 1))
    assert push(cache.with_rows(2), 4.0, rows=range(2)).tolist() == pytest.approx([2.0, 3.0])


def test_a_row_can_be_forgotten_alone() -> None:
    cache = cache_of(rows=2)
    push(cache, 1.0, rows=range(2))
    cache.reset_row(0)
    assert push(cache, 3.0, rows=range(2)).tolist() == pytest.approx([3.0, 2.0])


def test_a_chunk_larger_than_the_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="4 latent frames"):
        cache_of().begin(rows=range(1), frames=4)


def keys_of(cache: KVCache, row: int) -> torch.Tensor:
    return cache._keys[:, row].view(cache.config.layers, cache.config.window_frames, -1)


def test_forgetting_writes_nothing_and_what_is_read_is_wiped_first() -> None:
    """To wipe all of a window would cost 14B gigabytes at every cut. But what is masked must be numbers."""
    cache = cache_of(rows=2)
    for _ in range(8):
        push(cache, 5.0, rows=range(2))
    cache._keys.fill_(float("nan"))
    cache._values.fill_(float("nan"))
    cache.reset()
    assert keys_of(cache, 0).isnan().all(), "nothing was written"
    push(cache, 1.0, rows=range(1))
    assert keys_of(cache, 0)[:, 1:].isnan().all(), "a row alone reads no further than it is filled"
    # The second row sees one slot less than the first, in one forward: that slot is masked, and read.
    assert push(cache, 3.0, rows=range(2)).tolist() == pytest.approx([2.0, 3.0])
    assert (keys_of(cache, 1)[:, 1] == 0).all() and keys_of(cache, 1)[:, 2:].isnan().all()
    for _ in range(10):
        out = push(cache, 7.0, rows=range(2))
    assert not out.isnan().any() and not cache._keys.isnan().any()


def test_what_was_forgotten_stays_so_in_more_rows_and_in_a_state() -> None:
    cache = cache_of(rows=2)
    push(cache, 5.0, rows=range(2))
    push(cache, 5.0, rows=range(2))
    cache.reset_row(1)
    forgotten = slice(2 * TOKENS)
    cache._keys[:, 1, forgotten], cache._values[:, 1, forgotten] = float("nan"), float("nan")
    restored = cache_of(rows=2)
    restored.restore(cache.state())
    for other in (cache.with_rows(3), restored):
        rows = range(len(other.counts))
        assert push(other, 2.0, rows=rows)[:2].tolist() == pytest.approx([4.0, 2.0])
