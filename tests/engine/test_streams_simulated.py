"""Many streams over several GPUs, simulated; `tests/benchmarks/streams_simulated.py` runs more."""

from __future__ import annotations

import pytest
from tests.benchmarks.pipeline_cards import CARDS, MODELS, block_ms, vae_ms
from tests.benchmarks.slo_simulator import Simulator, Source
from tests.benchmarks.streams_simulated import CAMERA, P512, broken, jain, profile_of, simulate

from limner.engine.slo_plan import Limits, Plan


def test_a_cards_profile_is_its_stage_times() -> None:
    model, card = MODELS["14B"], CARDS["H100"]
    stages = profile_of(model, card).stages_ms(Plan(steps=2, stream_batch=False, chunk_latents=1, size=P512))
    assert stages["denoise"] == pytest.approx(2 * 40 * block_ms(model, card, P512))
    assert (stages["encode"], stages["decode"]) == pytest.approx(vae_ms(model, card, P512))


def test_alike_is_one_and_all_for_one_is_a_fraction() -> None:
    assert jain([3.0, 3.0, 3.0]) == 1
    assert jain([3.0, 0.0, 0.0]) == pytest.approx(1 / 3, abs=1e-3)


@pytest.mark.parametrize(("model", "cards", "asked"), [("14B", 1, 8), ("14B", 2, 4), ("1.3B", 1, 16)])
def test_who_is_let_in_misses_nothing_and_all_are_alike(model: str, cards: int, asked: int) -> None:
    line = simulate(model, ("H100",) * cards, asked)
    assert broken(line) == []
    assert line.missed_share == 0
    assert line.painted_share > 0.45, "every second frame is the least"


def test_with_everyone_let_in_frames_are_missed() -> None:
    line = simulate("14B", ("H100",), 16)
    assert line.admitted < 8
    assert line.all_missed_share > 0.1
    assert "it would with" in line.refusal


def test_the_one_on_air_keeps_its_rate_where_the_others_do_not() -> None:
    truth = profile_of(MODELS["14B"], CARDS["H100"])
    phases = [number / 24 for number in range(4)]
    fixed = Limits(fps=24, latency_ms=1000, steps=1, sizes=(P512,))

    def rates(*, favoured: bool) -> list[float]:
        sources = [
            Source(limits=fixed, truth=truth, told=truth, on_air=at_s == 0 or not favoured, first_s=at_s)
            for at_s in phases
        ]
        results = Simulator(sources, lambda _: 1.0, seed=0).run(12.0)
        return [sum(at_s > 4 for at_s, _ in one.painted) / 8 / CAMERA.fps for one in results]

    alike, favoured = rates(favoured=False), rates(favoured=True)
    assert jain(alike) > 0.99
    assert max(alike) < 0.6
    assert favoured[0] > 0.95
    assert min(favoured[1:]) > 0.15, "nobody starves"
