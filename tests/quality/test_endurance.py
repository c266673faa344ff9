"""A short version of tests/benchmarks/endurance.py: the real pocket on small pictures, 800 frames."""

from __future__ import annotations

import itertools
from typing import cast

import numpy as np
import pytest
import torch
from tests.benchmarks.endurance import (
    LEAD_IN_FRAMES,
    MOST_CHANGE,
    Probe,
    Run,
    broken_bars,
    endure,
    memory_change,
    slowdown,
)
from tests.benchmarks.looks import Look, look_of, psnr_db, worst_change
from tests.support.footage import endless_footage, faded
from tests.support.pictures import pocket, real_clip

from limner.engine.engine import Engine
from limner.engine.types import Painted, StageTimes, StreamSettings
from limner.pocket.look import Frames
from limner.pocket.teachers import teach

SIZE = (160, 96)
FRAMES = 800
LOOK = Look(mean=100, contrast=50, saturation=40, sharpness=8)


@pytest.mark.slow
def test_a_stream_that_has_run_looks_as_it_did_at_the_start() -> None:
    """Time and memory are left to the benchmark: a few seconds on a busy machine say nothing of them."""
    probe = real_clip("bigbuckbunny", LEAD_IN_FRAMES + 16, SIZE)
    settings = StreamSettings(prompt="oil painting", strength=0.5)
    run = endure(pocket(), settings, frames=FRAMES, probe_every=200, probe_THWC=probe)
    assert len(run.probes) >= 4
    assert run.probes[-1].at_frame > FRAMES - 200
    assert len(run.chunk_ms) * 4 >= FRAMES
    assert max(probe.change for probe in run.probes) <= MOST_CHANGE, run.probes
    assert min(probe.psnr_db for probe in run.probes) > 36, run.probes


class Tiring:
    """An engine and its stream in one: gives the input back, a little darker every time."""

    frames_per_chunk = 4

    def open_stream(self, settings: StreamSettings, height: int, width: int) -> Tiring:
        self.height, self.width, self.pushes = height, width, 0
        return self

    def push(self, frames_TCHW: torch.Tensor) -> Painted:
        self.pushes += 1
        return Painted(
            frames_TCHW=(frames_TCHW * (1 - 0.001 * self.pushes)).to(torch.uint8),
            chunk=self.pushes - 1,
            chunks=1,
            revision=0,
            strength=0.5,
            stage_ms=StageTimes(encode=1, noise=1, denoise=1, decode=1),
        )


def test_a_stream_that_drifts_is_found() -> None:
    probe = real_clip("bigbuckbunny", LEAD_IN_FRAMES + 16, (64, 48))
    engine = cast(Engine, Tiring())
    run = endure(engine, StreamSettings(), frames=600, probe_every=200, probe_THWC=probe)
    assert run.probes[-1].change == pytest.approx(0.13, abs=0.03)
    assert any("the picture changed" in sentence for sentence in broken_bars(run))
    assert run.probes[-1].psnr_db < run.probes[1].psnr_db


def steady_run() -> Run:
    return Run(
        probes=[Probe(at_frame=0, look=LOOK, change=0.01, psnr_db=50)],
        chunk_ms=[100.0] * 20 + [20.0] * 400,
        memory_bytes=[300, 400, 500, 500, 501],
        memory_every=600,
    )


def test_each_bar_can_be_broken() -> None:
    assert broken_bars(steady_run()) == []
    drifted, leaking, slowing = steady_run(), steady_run(), steady_run()
    drifted.probes.append(Probe(at_frame=900, look=LOOK, change=0.06, psnr_db=30))
    leaking.memory_bytes.append(510)
    slowing.chunk_ms += [30.0] * 300
    assert broken_bars(drifted) == ["the picture changed at frame 900 by 6.0%, promised 5%"]
    assert broken_bars(leaking) == ["memory changed by 2.0%, promised 1%"]
    assert len(broken_bars(slowing)) == 1
    short = steady_run()
    short.memory_bytes = []
    assert len(broken_bars(short)) == 1, "what was not measured is not kept"


def test_memory_before_the_first_minute_does_not_count() -> None:
    run = steady_run()
    assert memory_change(run) == pytest.approx(1 / 500)
    assert memory_change(run, after_frames=600) == pytest.approx(201 / 300)


def test_slowdown_is_of_medians() -> None:
    run = steady_run()
    run.chunk_ms[100] = 5000.0
    assert slowdown(run) == 0


def test_statistics_are_those_of_the_picture() -> None:
    flat = np.full((3, 16, 16, 3), (200, 100, 50), np.uint8)
    look = look_of(flat)
    assert look.mean == pytest.approx(350 / 3)
    assert look.saturation == 150
    assert look.contrast == pytest.approx(0, abs=1e-3)
    assert look.sharpness == pytest.approx(0, abs=1e-3)
    ramp = np.zeros((1, 16, 16, 3), np.uint8)
    ramp[:] = (np.arange(16) * 10)[None, None, :, None]
    assert look_of(ramp).sharpness == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("word", ["dark", "bright", "red"])
def test_a_picture_that_changed_is_found(word: str) -> None:
    clip: Frames = real_clip("bigbuckbunny", 4, SIZE)
    changed = teach(clip, None, [word])
    assert worst_change(look_of(clip), look_of(changed)) > 0.05
    assert psnr_db(clip, changed) < 30
    assert worst_change(look_of(clip), look_of(clip)) == 0
    assert psnr_db(clip, clip) == float("inf")


def test_footage_goes_on_for_ever_in_chunks_and_without_seams() -> None:
    footage = endless_footage(SIZE)
    chunks = [next(footage) for _ in range(200)]
    assert {chunk.shape for chunk in chunks} == {(4, SIZE[1], SIZE[0], 3)}
    assert np.array_equal(next(endless_footage(SIZE)), chunks[0])
    assert len({chunk.tobytes() for chunk in chunks}) > 150
    frames = np.concatenate(chunks).astype(np.int16)
    jumps = np.array([np.abs(b - a).mean() for a, b in itertools.pairwise(frames)])
    # Stretches of at most 96 frames: more than 8 of them are here. What jumps are the real clips' own cuts.
    assert np.mean(jumps > 45) < 8 / len(jumps)


def test_a_fade_goes_all_the_way_in_even_steps() -> None:
    black, white = np.zeros((4, 2, 2, 3), np.uint8), np.full((4, 2, 2, 3), 250, np.uint8)
    halves = [faded(black, white, done=0, until=0.5), faded(black, white, done=0.5, until=1)]
    assert np.concatenate(halves)[:, 0, 0, 0].tolist() == [25, 50, 75, 100, 150, 175, 200, 225]
