"""Sinks that give way to newer frames: which, when, and what else follows."""

from __future__ import annotations

import pytest
import torch
from tests.engine.film import CPU, Film, dit_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights, tiny_config, with_threshold

from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.sinks import most_chosen, sinks_to_replace, slots_to_fill
from limner.engine.engine import Engine
from limner.engine.errors import ConfigError


def test_the_least_like_sink_below_the_threshold_goes() -> None:
    new = torch.tensor([1.0, 0.0]).expand(2, 1, 2)
    sinks = torch.tensor([[1.0, 0.0], [0.1, 1.0], [-0.2, 1.0]])[:, None, None].expand(3, 2, 1, 2)
    assert sinks_to_replace(new, sinks, 0.2).flatten().tolist() == [False, False, True]
    assert sinks_to_replace(new, sinks[:2], 0.2).flatten().tolist() == [False, True]
    assert sinks_to_replace(new, sinks[:2], 0.05).flatten().tolist() == [False, False]


def test_keys_and_values_of_a_layer_decide_together() -> None:
    like, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    new = like.expand(2, 2, 2)
    # Of the second layer only the values are unlike: half is more than the threshold.
    sink = torch.stack([torch.stack([other, like]), torch.stack([other, other])])[None]
    assert sinks_to_replace(new, sink, 0.2).tolist() == [[True, False]]
    assert sinks_to_replace(new, sink, 0.6).tolist() == [[True, True]]


def test_each_layer_has_its_own_slot_to_fill() -> None:
    chosen = torch.tensor([[False, True, False], [False, False, False], [True, False, False]])
    assert slots_to_fill(chosen, 5).tolist() == [2, 0, 5]


@pytest.mark.parametrize(
    ("votes", "layers", "chosen"),
    [
        ([0, 0, 0], 4, None),
        ([0, 2, 0], 4, 1),
        ([1, 1, 0], 4, None),
        ([1, 2, 3], 6, 2),
        ([2, 2, 0], 4, 0),
        ([0, 0, 1], 1, 2),
    ],
)
def test_what_went_in_goes_with_most_layers(votes: list[int], layers: int, chosen: int | None) -> None:
    found = most_chosen(torch.tensor(votes, dtype=torch.int32), layers)
    assert found.tolist() == [number == chosen for number in range(3)]


@pytest.mark.parametrize("sinks", [1, 2, 3])
def test_sinks_that_are_like_the_picture_stay(sinks: int) -> None:
    film = Film(dit_of(sinks))
    for number in range(30):
        film.push((0, number))
    assert film.seen() == [*range(sinks), 27, 28, 29]


def test_another_picture_takes_one_sink_a_frame_once_the_window_is_full() -> None:
    film = Film(dit_of())
    for number in range(3):
        film.push((0, number))
    for number in range(3, 6):
        film.push((1, number))
    assert film.seen() == [0, 1, 2, 3, 4, 5]  # Not before it is full.
    film.push((1, 6))
    assert film.seen() == [6, 1, 2, 4, 5, 6]
    film.push((1, 7))
    assert film.seen() == [6, 7, 2, 5, 6, 7]
    film.push((1, 8))
    film.push((1, 9))
    assert film.seen() == [6, 7, 8, 7, 8, 9]


def test_sinks_are_not_read_anew_for_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    pooled = KVCache._pooled

    def counting(cache: KVCache, row: int, slot: int) -> torch.Tensor:
        looked.append(slot)
        return pooled(cache, row, slot)

    monkeypatch.setattr(KVCache, "_pooled", counting)
    film = Film(dit_of())
    for number in range(6):
        film.push((0, number))
    assert not looked
    for number in range(6, 10):
        film.push((number % 2, number))
    assert looked == [3, 0, 1, 2, 4, 5, 3]


def test_a_chunk_takes_as_many_sinks_as_it_has_frames_at_most() -> None:
    film = Film(dit_of())
    film.push((0, 0), (0, 1), (0, 2))
    film.push((0, 3), (0, 4), (0, 5))
    film.push((1, 6), (1, 7))
    assert film.seen() == [6, 7, 2, 5, 6, 7]


def test_rows_decide_apart() -> None:
    film = Film(dit_of(), rows=2)
    for number in range(8):
        film.push((0, number), row=0)
        film.push((int(number > 5), number), row=1)
    assert film.seen(0) == [0, 1, 2, 5, 6, 7] and film.seen(1) == [6, 7, 2, 5, 6, 7]


@pytest.mark.parametrize("layers", [1, 3])
def test_keys_values_and_inputs_follow_together(layers: int) -> None:
    film = Film(dit_of(layers=layers))
    for number in range(11):
        film.push((int(number > 6), number))
    for layer in range(layers):
        assert film.held(layer) == film.seen()


def test_layers_decide_apart() -> None:
    film = Film(dit_of(layers=3))
    for number in range(6):
        film.push((0, number))
    film.push((1, 6), kinds=(0, 1, 0))
    assert film.held(0) == film.held(2) == [0, 1, 2, 4, 5, 6]
    assert film.held(1) == [6, 1, 2, 4, 5, 6]
    assert film.seen() == [0, 1, 2, 4, 5, 6], "one layer of three: what went in stays"
    film.push((1, 7), kinds=(1, 1, 0))
    assert film.held(0) == [7, 1, 2, 5, 6, 7] and film.held(1) == [6, 7, 2, 5, 6, 7]
    assert film.seen()[0] == 0, "two layers, but not about one sink"
    film.push((2, 8))
    assert [film.held(layer)[:3] for layer in range(3)] == [[8, 1, 2], [8, 7, 2], [8, 1, 2]]
    assert film.seen()[:3] == [8, 1, 2], "all layers"


def test_a_threshold_of_0_keeps_sinks_for_ever() -> None:
    film = Film(dit_of(threshold=0.0))
    for number in range(12):
        film.push((number % 7, number))
    assert film.seen() == [0, 1, 2, 9, 10, 11]


def test_a_stream_with_replaced_sinks_can_be_moved() -> None:
    config = with_threshold(tiny_config(), 0.99)
    engines = [Engine(config, random_weights(config), dtype=torch.float32) for _ in range(2)]
    stream, copy, chunks = stream_of(engines[0], steps=2), stream_of(engines[1]), clip(14)
    for chunk in chunks[:8]:
        stream.push(chunk)
    copy.restore(stream.state())
    here = frames_of(painted(stream, chunks[8:]))
    assert torch.equal(here, frames_of(painted(copy, chunks[8:])))
    plain = Engine(tiny_config(), random_weights(config), dtype=torch.float32)
    assert not torch.equal(here, frames_of(painted(stream_of(plain, steps=2), chunks))[-24:])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_bad_threshold_is_named(threshold: float) -> None:
    with pytest.raises(ConfigError, match="sink_threshold"):
        dit_of(threshold=threshold)


def test_without_sinks_there_is_nothing_to_replace() -> None:
    cache = KVCache(dit_of(sinks=0), rows=1, grid=(1, 2), device=CPU, dtype=torch.float32)
    for _ in range(8):
        cache.begin(rows=range(1), frames=1)
        assert cache.commit() == []
