"""At a cut a stream begins a new context: nothing of the old scene is seen in the new one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine.scenes import still
from tests.engine.streaming import HEIGHT, WIDTH, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.engine.engine import Engine

MODES = [{"steps": 1}, *({"steps": n, "stream_batch": batch} for n in (2, 4) for batch in (True, False))]


def scene(seed: int, frames: int) -> Tensor:
    return still(seed, frames, height=HEIGHT, width=WIDTH)


def chunks_of(*parts: Tensor) -> list[Tensor]:
    whole = torch.cat(parts)
    return [whole[start : start + 4] for start in range(0, len(whole), 4)]


@pytest.mark.parametrize("mode", MODES)
def test_both_scenes_are_painted_as_if_the_other_were_not_there(engine: Engine, mode: dict[str, Any]) -> None:
    old, new = scene(1, 20), scene(2, 16)
    results = painted(stream_of(engine, **mode), chunks_of(old, new))
    assert numbers_of(results) == list(range(9))
    alone = [frames_of(painted(stream_of(engine, **mode), chunks_of(part))) for part in (old, new)]
    # In a batch both scenes share a forward for a moment, which rounds otherwise.
    assert (frames_of(results).float() - torch.cat(alone).float()).abs().max() <= 1
    assert [result.chunk + result.chunks > 5 >= result.chunk for result in results] == [
        result.is_cut for result in results
    ]


@pytest.mark.parametrize("at", [20, 21, 22, 23])
def test_a_cut_inside_a_chunk_moves_to_the_nearer_border(engine: Engine, at: int) -> None:
    old, new = scene(1, at), scene(2, 40 - at)
    results = painted(stream_of(engine), chunks_of(old, new))
    cut = 20 if at < 22 else 24
    assert [result.is_cut for result in results] == [4 * result.chunk == cut for result in results]
    held = torch.cat([old[:cut], old[-1:].expand(max(0, cut - at), -1, -1, -1)])
    early = torch.cat([new[:1].expand(max(0, at - cut), -1, -1, -1), new[max(0, cut - at) :]])
    alone = [frames_of(painted(stream_of(engine), chunks_of(part))) for part in (held, early)]
    assert torch.equal(frames_of(results), torch.cat(alone))


def test_without_detection_the_old_scene_shows(engine: Engine) -> None:
    old, new = scene(1, 20), scene(2, 8)
    smeared = painted(stream_of(engine, cuts=False), chunks_of(old, new))
    assert not any(result.is_cut for result in smeared)
    assert not torch.equal(frames_of(smeared)[20:], frames_of(painted(stream_of(engine), chunks_of(new))))


def test_fresh_noise_and_numbers_go_on_after_a_cut() -> None:
    engine = tiny_engine(kind="fresh")
    results = painted(stream_of(engine), chunks_of(scene(1, 20), scene(2, 8)))
    fresh = painted(stream_of(engine), chunks_of(scene(2, 8)))
    assert numbers_of(results) == list(range(7))
    assert not torch.equal(frames_of(results)[20:], frames_of(fresh))


def test_a_transition_goes_on_over_a_cut(engine: Engine) -> None:
    stream = stream_of(engine)
    chunks = chunks_of(scene(1, 20), scene(2, 20))
    for chunk in chunks[:4]:
        stream.push(chunk)
    stream.update(settings_of(prompt="neon", transition_frames=12))
    texts = [stream.encode(chunk) for chunk in chunks[4:8]]
    assert [chunk.is_cut for chunk in texts] == [False, True, False, False]
    assert len({id(chunk.text) for chunk in texts}) == 3 and texts[2].text is texts[3].text


def test_switched_on_again_it_does_not_take_the_pause_for_a_cut(engine: Engine) -> None:
    stream, chunks = stream_of(engine), chunks_of(scene(1, 16), scene(2, 24))
    results = []
    for i, chunk in enumerate(chunks):
        stream.update(settings_of(cuts=not 3 <= i < 6))
        results.append(stream.push(chunk))
    assert not any(result.is_cut for result in results if result is not None)


@pytest.mark.parametrize("at", [22, 23])
def test_a_cut_that_is_only_suspected_is_part_of_the_state(engine: Engine, at: int) -> None:
    chunks = chunks_of(scene(1, at), scene(2, 40 - at))
    stream, copy = stream_of(engine), stream_of(engine, prompt="warm")
    for chunk in chunks[:6]:
        stream.push(chunk)
    copy.restore(stream.state())
    here, there = painted(stream, chunks[6:]), painted(copy, chunks[6:])
    assert [one.is_cut for one in there] == [True, False, False, False]
    assert torch.equal(frames_of(here), frames_of(there))
