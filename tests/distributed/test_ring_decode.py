"""Decoding on another rank: the frames are those of one process, wherever it is, and when it moves."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.ring_checks import CHANGES, changing, cuts_alike, forgets_at_reset
from tests.distributed.rings import PATIENCE_S, Ranks, pipelined, ranks, tiny_of
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from torch import Tensor

from limner.engine import decode_balance
from limner.engine.blocks import Split
from limner.engine.clock import NO_TIME
from limner.engine.engine import Engine
from limner.engine.overlap import OverlappedStream
from limner.engine.pipeline import watch_places
from limner.engine.pipeline.decoders import Decoders, Sized
from limner.engine.pipeline.denoiser import PipelinedDenoiser
from limner.engine.pipeline.lanes import PipelineLanes
from limner.engine.stream import denoised
from limner.engine.types import Painted
from limner.engine.vae import StreamingEncoder

LAYERS = 5
PLACES: dict[str, tuple[Split, int]] = {
    "two, the first only encodes": (((0, 0), (0, 5)), 1),
    "three": (((0, 2), (2, 3), (3, 5)), 2),
}


@pytest.fixture(scope="module", params=list(PLACES.values()), ids=list(PLACES))
def made(request: pytest.FixtureRequest, weights: Path) -> Iterator[Ranks]:
    split, decodes = request.param
    with ranks(tiny_of(LAYERS), weights, split, decodes=decodes) as made:
        yield made


@pytest.fixture(scope="module")
def three(weights: Path) -> Iterator[Ranks]:
    with ranks(tiny_of(LAYERS), weights, ((0, 2), (2, 3), (3, 5))) as made:
        yield made


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_frames_are_those_of_one_process(alone: Engine, made: Ranks, steps: int) -> None:
    chunks = clip(9)
    expected = painted(stream_of(alone, steps=steps, stream_batch=False), chunks)
    got = pipelined(made, chunks, steps=steps)
    assert torch.equal(frames_of(got), frames_of(expected))
    assert all(one.stage_ms.decode > 0 for one in got)


@pytest.mark.parametrize("name", ["prompts", "steps", "lengths", "sizes", "clean"])
def test_changes_come_at_the_same_chunk(alone: Engine, made: Ranks, name: str) -> None:
    assert torch.equal(changing(made.engine, CHANGES[name]), changing(alone, CHANGES[name]))


def test_a_cut_begins_the_same_context(alone: Engine, made: Ranks) -> None:
    cuts_alike(alone, made)


def test_a_reset_forgets_what_the_decoder_saw(made: Ranks) -> None:
    forgets_at_reset(made)


def test_on_lanes_chunks_come_out_in_their_order(alone: Engine, made: Ranks) -> None:
    chunks = clip(12)
    expected = painted(stream_of(alone, stream_batch=False), chunks)
    with PipelineLanes(made.engine) as lanes:
        stream = OverlappedStream(stream_of(made.engine), lanes)
        got: list[Painted] = []
        for chunk in chunks:
            stream.push(chunk)
            got += stream.collect()
        got += stream.flush()
    assert [one.chunk for one in got] == [one.chunk for one in expected]
    assert torch.equal(frames_of(got), frames_of(expected))


def test_only_who_decodes_holds_a_decoder(made: Ranks) -> None:
    assert not made.engine.decoders.is_held
    vae = made.engine._model.vae
    halves = {name.split(".")[0]: tensor.is_meta for name, tensor in vae.named_parameters()}  # type: ignore[attr-defined]
    assert halves == {"encoder": False, "decoder": True}


# ---- moves


@pytest.mark.parametrize("steps", [1, 2])
def test_frames_are_the_same_wherever_decoding_goes_meanwhile(
    alone: Engine, three: Ranks, steps: int
) -> None:
    chunks = clip(32)
    expected = painted(stream_of(alone, steps=steps, stream_batch=False), chunks)
    assert torch.equal(moving_frames(three, chunks, steps), frames_of(expected))


def test_a_decoder_that_moves_without_its_past_shows(
    alone: Engine, three: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above would see it."""
    chunks = clip(32)
    expected = frames_of(painted(stream_of(alone, stream_batch=False), chunks))
    whole = Decoders.pack

    def forgetful(self: Decoders, streams: Sequence[Sized], packet_B: Tensor) -> None:
        for number, *_ in streams:
            self.reset(number)
        whole(self, streams, packet_B)

    monkeypatch.setattr(Decoders, "pack", forgetful)
    assert not torch.equal(moving_frames(three, chunks, 1), expected)


def test_it_goes_by_itself_to_where_there_is_time(
    alone: Engine, three: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here rank 0 takes 40 ms to encode a chunk and 60 to decode one: it cannot do both."""
    watch = three.engine.watch
    for name, value in (("FEW", 3), ("LASTING_S", 0.5)):
        monkeypatch.setattr(decode_balance, name, value)
    monkeypatch.setattr(StreamingEncoder, "push", slowed(StreamingEncoder.push, 0.04))
    monkeypatch.setattr(Decoders, "push", slowed(Decoders.push, 0.06))
    monkeypatch.setattr(watch_places, "TOGETHER_S", 0.5)
    watch.balancing = watch.places.is_on = True
    got: list[Painted] = []
    try:
        with PipelineLanes(three.engine) as lanes:
            stream, chunks = OverlappedStream(stream_of(three.engine), lanes), clip(400)
            deadline = time.monotonic() + PATIENCE_S
            while watch.placer.rank == 0:
                assert time.monotonic() < deadline, "decoding stays where it is"
                stream.push(chunks[len(got) + stream.inside])
                got += stream.collect()
            got += stream.drain()
    finally:
        watch.balancing = watch.places.is_on = False
        decode_on(three, 0)
    expected = painted(stream_of(alone, stream_batch=False), chunks[: len(got)])
    assert torch.equal(frames_of(got), frames_of(expected))


def slowed(push: Callable[..., Tensor], seconds: float) -> Callable[..., Tensor]:
    """The same, with more work."""

    def slow(*args: Any, **options: Any) -> Tensor:
        end_s = time.thread_time() + seconds
        while time.thread_time() < end_s:
            pass
        return push(*args, **options)

    return slow


def moving_frames(made: Ranks, chunks: list[Tensor], steps: int) -> Tensor:
    """Frames of chunks that are on their way while decoding, and blocks, go round."""
    stream, out = stream_of(made.engine, steps=steps), []
    assert isinstance(stream.denoiser, PipelinedDenoiser)
    tour = itertools.cycle([1, 2, 0, 2, 1, 0])
    splits = itertools.cycle([((0, 1), (1, 4), (4, 5)), ((0, 2), (2, 3), (3, 5))])
    for start in range(0, len(chunks), 4):
        begun = [stream.denoiser.begin(stream.encode(chunk)) for chunk in chunks[start : start + 4]]
        made.engine.rebalance(next(splits))
        decode_on(made, next(tour))
        out += [stream.decode(denoised(None, one.result(PATIENCE_S), NO_TIME)) for one in begun]
    decode_on(made, 0)
    return frames_of([one for one in out if one is not None])


def decode_on(made: Ranks, rank: int) -> None:
    """Bring decoding there, while whatever is on its way goes on."""
    made.engine.decode_on(rank)
    deadline = time.monotonic() + PATIENCE_S
    while made.engine.watch.placer.is_moving:
        assert time.monotonic() < deadline, "decoding did not move"
        time.sleep(0.005)
    assert made.engine.watch.placer.rank == rank


# ---- a ring that is over


@pytest.mark.parametrize("decodes", [0, 1])
def test_what_a_lost_decoder_remembered_is_made_again(weights: Path, alone: Engine, decodes: int) -> None:
    chunks = clip(8)
    expected = painted(stream_of(alone, stream_batch=False), chunks)
    with ranks(tiny_of(LAYERS), weights, ((0, 2), (2, 5)), decodes=decodes) as made:
        stream = stream_of(made.engine)
        # No more than the window holds: what is made again is what was there, bit by bit.
        got = painted(stream, chunks[:3])
        made.alone()
        got += painted(stream, chunks[3:4])
        assert made.engine.decoders.is_held
    assert torch.equal(frames_of(got), frames_of(expected[:4]))


def test_settings_of_another_size_move_with_it(alone: Engine, three: Ranks) -> None:
    wanted = {"stream_batch": False}
    streams = [stream_of(engine, **wanted) for engine in (alone, three.engine)]
    out: list[list[Tensor]] = [[], []]
    for number, chunk in enumerate(clip(9)):
        if number == 3:
            for stream in streams:
                stream.update(settings_of(size=(32, 32), **wanted))
        if number in (2, 4, 6):
            decode_on(three, number // 2 % 3)
        for stream, frames in zip(streams, out, strict=True):
            got = stream.push(chunk)
            assert got is not None
            frames.append(got.frames_TCHW)
    decode_on(three, 0)
    assert torch.equal(torch.cat(out[0]), torch.cat(out[1]))
