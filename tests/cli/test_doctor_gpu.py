"""The doctor on GPUs: cards, torch, drivers, and the models that fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.runner import run_limner
from tests.models.test_plan_cards import GTX, RTX, fake_tool

from limner.cli.doctor import gpu
from limner.daemon.protocol import WorkerInfo
from limner.models.plan_cards import Cards, cards_from
from limner.models.plan_choice import Wishes
from limner.models.plan_torch import TorchBuild, torch_build
from limner.models.store import Store

CARDS = cards_from(0, RTX)


def small_card(free_mib: int, driver: str = "550.54.14") -> Cards:
    return cards_from(0, f"0, NVIDIA GeForce GTX, 8192, {free_mib}, 8.6, {driver}, [N/A]")


def test_no_gpu_is_no_fault() -> None:
    (finding,) = gpu.check_cards(Cards())
    assert finding.state == "ok" and "pocket" in finding.text
    assert gpu.check_torch(Cards(), TorchBuild(version="2.13.0", cuda="")) == []
    assert gpu.check_models(None) == []


def test_a_card_is_told_and_what_is_wrong_with_another() -> None:
    mig = "1, NVIDIA H100, 81559, [N/A], 9.0, 550.54.14, Enabled"
    good, bad = gpu.check_cards(cards_from(0, f"{RTX}\n{mig}"))
    assert "RTX 4090, 21.5 of 24.0 GiB free, driver 550.54.14, compute capability 8.9" in good.text
    assert bad.state == "warning" and "MIG" in bad.text and "pocket" in bad.advice


@pytest.mark.parametrize(
    ("cuda", "driver", "state", "words"),
    [
        ("", "550.54.14", "warning", "processors alone"),
        ("13.0", "550.54.14", "warning", "update the NVIDIA driver to 580"),
        ("13.0", "580.65.06", "ok", "CUDA 13.0"),
        ("12.8", "550.54.14", "ok", "driver 550"),
        ("12.8", "470.1", "warning", "525"),
        ("99.0", "550.54.14", "ok", "99"),
        ("12.8", "", "ok", "CUDA 12.8"),
    ],
)
def test_torch_and_driver(cuda: str, driver: str, state: str, words: str) -> None:
    build = TorchBuild(version="2.13.0", cuda=cuda)
    (finding,) = gpu.check_torch(small_card(8000, driver), build)
    assert finding.state == state
    assert words in f"{finding.text} {finding.advice}"


def test_torchs_own_words_are_read(tmp_path: Path) -> None:
    file = tmp_path / "version.py"
    file.write_text("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n")
    assert torch_build(file) == TorchBuild(version="2.13.0+cu130", cuda="13.0")
    file.write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n")
    assert torch_build(file) == TorchBuild(version="2.13.0+cpu", cuda="")
    assert torch_build(tmp_path / "none") is None
    installed = torch_build()
    assert installed is not None and installed.version[0].isdigit()


def test_each_model_is_planned_and_what_to_pull_is_said(tmp_path: Path) -> None:
    found = {finding.name: finding for finding in gpu.check_models(CARDS.best, store=Store(tmp_path))}
    small, large = found["Model wan-1.3b"], found["Model wan-14b"]
    assert small.state == large.state == "ok"
    assert found["Best model"].text.startswith("wan-1.3b, of those that fit on NVIDIA GeForce RTX 4090")
    assert small.text.startswith("832×480, up to 4 steps") and "of 21.5 GiB free" in small.text
    assert "limner models pull wan-1.3b" in small.text
    chosen = {one.name: one for one in gpu.check_models(CARDS.best, "wan-1.3b", store=Store(tmp_path))}
    assert chosen["Model wan-1.3b"].state == "warning"
    assert "limner models pull wan-1.3b" in chosen["Model wan-1.3b"].advice


def test_models_are_judged_on_the_card_that_paints_and_as_the_user_wants_them(tmp_path: Path) -> None:
    found = cards_from(0, f"{RTX}\n{GTX}")
    (which,) = gpu.check_device(found, found.cards[1], "cuda:1")
    assert which.state == "ok" and which.text == "1, NVIDIA GeForce GTX 1080 (cuda:1)"
    (none,) = gpu.check_device(found, None, "cuda:7")
    assert none.state == "warning" and "cuda:7 is chosen" in none.text
    assert gpu.check_device(CARDS, CARDS.best, "auto") == gpu.check_device(Cards(), None, "auto") == []
    store = Store(tmp_path)
    old = {one.name: one.text for one in gpu.check_models(found.cards[1], store=store)}
    assert "GTX 1080 is too old" in old["Model wan-1.3b"] and old["Best model"].startswith("pocket")
    pinned = gpu.check_models(CARDS.best, wishes=Wishes(steps=2, size=(640, 368)), store=store)
    assert "640×368, up to 2 steps" in {one.name: one.text for one in pinned}["Model wan-1.3b"]


def test_what_the_painter_holds_itself_is_not_counted_against_its_model() -> None:
    live = WorkerInfo(state="ready", model="wan-1.3b", device="NVIDIA GeForce RTX 4090 (cuda:0)")
    (said,) = gpu.painting_now(live)
    assert said.state == "ok" and said.text.startswith("wan-1.3b paints on NVIDIA GeForce RTX 4090")
    for other in (None, WorkerInfo(state="ready", model="pocket", device="CPU"), WorkerInfo(state="failed")):
        assert gpu.painting_now(other) == []


def test_a_chosen_model_that_does_not_fit_is_a_warning_with_advice(tmp_path: Path) -> None:
    card, store = small_card(3000).best, Store(tmp_path)
    found = {one.name: one for one in gpu.check_models(card, "wan-1.3b", store=store)}
    chosen = found["Model wan-1.3b"]
    assert chosen.state == "warning" and "GiB free" in chosen.text and "pocket" in chosen.advice
    other = {one.name: one for one in gpu.check_models(card, "pocket", store=store)}["Model wan-1.3b"]
    assert other.state == "ok" and "needs" in other.text


def test_the_command_asks_nvidia_smi(
    no_daemon: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path, f'echo "{RTX}"\n')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    result = run_limner(no_daemon, "doctor", XDG_CONFIG_HOME=str(tmp_path))
    assert "GeForce RTX 4090" in result.out
    assert "Model wan-1.3b: 832×480" in result.out
