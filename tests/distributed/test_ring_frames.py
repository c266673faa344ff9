"""Frames of two and three ranks are those of one process, bit by bit, whatever changes on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.ring_checks import CHANGES, changing, cuts_alike, forgets_at_reset
from tests.distributed.rings import Ranks, pipelined, ranks, tiny_of, weights_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights

from limner.engine.blocks import Split
from limner.engine.engine import Engine
from limner.engine.pipeline.courses import Course, Flight
from limner.engine.pipeline.first import Answer, FirstRank
from limner.engine.types import Painted

LAYERS = 5


@pytest.fixture(scope="module", params=[((0, 2), (2, 5)), ((0, 2), (2, 3), (3, 5))], ids=["two", "three"])
def made(request: pytest.FixtureRequest, weights: Path) -> Iterator[Ranks]:
    with ranks(tiny_of(LAYERS), weights, request.param) as made:
        yield made


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_frames_are_those_of_one_process(alone: Engine, made: Ranks, steps: int) -> None:
    chunks = clip(9)
    expected = painted(stream_of(alone, steps=steps, stream_batch=False), chunks)
    assert torch.equal(frames_of(pipelined(made, chunks, steps=steps)), frames_of(expected))


@pytest.mark.parametrize("name", CHANGES)
def test_changes_come_at_the_same_chunk(alone: Engine, made: Ranks, name: str) -> None:
    assert torch.equal(changing(made.engine, CHANGES[name]), changing(alone, CHANGES[name]))


def test_a_cut_begins_the_same_context(alone: Engine, made: Ranks) -> None:
    cuts_alike(alone, made)


def test_a_reset_forgets_everything_on_all_ranks(made: Ranks) -> None:
    forgets_at_reset(made)


def test_streams_do_not_touch_one_another(alone: Engine, made: Ranks) -> None:
    streams = [stream_of(made.engine, steps=2, seed=seed) for seed in (1, 2)]
    clips = [clip(6, seed=5), clip(6, seed=6)]
    got: list[list[Painted]] = [[], []]
    for pair in zip(*clips, strict=True):
        for stream, chunk, out in zip(streams, pair, got, strict=True):
            out += [one for one in [stream.push(chunk)] if one is not None]
    for seed, chunks, out in zip((1, 2), clips, got, strict=True):
        expected = painted(stream_of(alone, steps=2, seed=seed, stream_batch=False), chunks)
        assert torch.equal(frames_of(out), frames_of(expected))


def test_each_rank_has_only_its_blocks_in_memory(made: Ranks) -> None:
    dit = made.engine.stage.dit
    allocated = {name for name, tensor in dit.named_parameters() if not tensor.is_meta}
    assert dit.held == [0, 1]
    assert {name.split(".")[1] for name in allocated if name.startswith("blocks.")} == {"0", "1"}
    held = made.held()
    assert [layer for rank in sorted(held) for layer in held[rank]] == [2, 3, 4]


SINKS: Mapping[str, Any] = {"sink_frames": 2, "sink_threshold": 0.2}


@pytest.fixture(scope="module", params=[((0, 2), (2, 5)), ((0, 0), (0, 3), (3, 5))], ids=["two", "three"])
def sinking(request: pytest.FixtureRequest, weights: Path) -> Iterator[Ranks]:
    """Ranks of a model whose sinks may give way."""
    with ranks(tiny_of(LAYERS, **SINKS), weights, request.param) as made:
        yield made


@pytest.mark.parametrize("steps", [1, 3])
def test_sinks_that_give_way_do_so_on_all_ranks(sinking: Ranks, weights: Path, steps: int) -> None:
    frames = {}
    for name, config in (("some", tiny_of(LAYERS, **SINKS)), ("none", tiny_of(LAYERS, sink_frames=2))):
        stream = stream_of(
            Engine(config, weights, dtype=torch.float32), steps=steps, stream_batch=False, chunk_latents=2
        )
        frames[name] = frames_of(painted(stream, clip(12, frames=8)))
    assert not torch.equal(frames["some"], frames["none"]), "no sink gave way: nothing is tested"
    got = pipelined(sinking, clip(12, frames=8), steps=steps, chunk_latents=2)
    assert torch.equal(frames_of(got), frames["some"])


@pytest.mark.parametrize("split", [((0, 2), (2, 5)), ((0, 2), (2, 3), (3, 5))], ids=["two", "three"])
def test_a_sum_that_is_wider_than_the_products_goes_over_whole(tmp_path: Path, split: Split) -> None:
    config = tiny_of(LAYERS, wide_residual=True)
    weights = weights_of(random_weights(config), tmp_path)
    expected = painted(
        stream_of(Engine(config, weights, dtype=torch.bfloat16), steps=2, stream_batch=False), clip(6)
    )
    with ranks(config, weights, split, dtype=torch.bfloat16) as made:
        got = pipelined(made, clip(6), steps=2)
    assert torch.equal(frames_of(got), frames_of(expected))


def test_sinks_that_give_way_hold_up_no_chunk(sinking: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of one stream are on their way at once, also when its window is full."""
    ring, abreast = sinking.engine.ring, []
    forward = FirstRank.forward

    def counting(first: FirstRank, course: Course, *others: Any) -> Answer:
        abreast.append(ring._out)
        return forward(first, course, *others)

    monkeypatch.setattr(FirstRank, "forward", counting)
    pipelined(sinking, clip(24), steps=1)
    assert max(abreast[12:]) > 0


def test_a_chunk_that_overtakes_shows(alone: Engine, made: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the tests above see it when a row does not get the chunks in their order."""

    begun = threading.Event()

    def newest_first(course: Course) -> Flight | None:
        if len(course.flights) < 2 and not begun.is_set():
            return None  # There must be two to choose from.
        begun.set()
        ready = (one for one in reversed(course.flights) if not one.waits and one.row < one.chunk.steps)
        return next(ready, None)

    chunks = clip(9)
    expected = frames_of(painted(stream_of(alone, steps=2, stream_batch=False), chunks))
    monkeypatch.setattr(Course, "next", newest_first)
    assert not torch.equal(frames_of(pipelined(made, chunks, steps=2)), expected)
