"""Options that pin a part of the plan for the GPU's memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.cli.runner import run_limner
from tests.models.test_plan_cards import fake_tool

from limner.cli.memory_options import wishes_from
from limner.daemon.config import DaemonConfig
from limner.daemon.expected import best_engine, outlook
from limner.daemon.saved import Saved, SavedError, read
from limner.models.plan_choice import Wishes
from limner.models.plan_torch import TorchBuild
from limner.models.store import State, Store

NOTHING: dict[str, Any] = {"size": None, "text": None}
SMALL = "0, NVIDIA GeForce RTX 3060, 8192, 3000, 8.6, 550.54.14, [N/A]"


def test_options_are_wishes_and_the_users_file_says_the_rest() -> None:
    saved = Wishes(weights="int8", steps=2)
    assert wishes_from(None, **NOTHING) == Wishes()
    assert wishes_from(saved, **NOTHING, weights="bf16", streams=None) == Wishes(weights="bf16", steps=2)
    wishes = wishes_from(None, size="640x368", text="gpu-while-encoding", window_frames=5)
    assert wishes == Wishes(size=(640, 368), text="gpu while encoding", window_frames=5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "big"}, "--size is 'big'; it must be like 832x480"),
        ({"size": "100x200"}, "--size is 100; it must be a whole number in steps of 16 from 16 to 4096"),
        ({"text": "disk"}, "--text-encoder is 'disk'; it must be gpu, gpu-while-encoding, cpu"),
        ({"weights": "fp4"}, "--weights is 'fp4'; it must be one of bf16, fp8, int8"),
        ({"steps": 9}, "--most-steps is 9; it must be a whole number from 1 to 4"),
        ({"window_frames": 1}, "--window is 1; it must be"),
        ({"streams": 0}, "--sessions is 0; it must be"),
    ],
)
def test_a_mistake_names_the_option(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="--") as error:
        wishes_from(None, **NOTHING | given)
    assert str(error.value).startswith(words)


def test_the_users_file_has_a_table_for_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('engine = "wan-1.3b"\n[memory]\nweights = "fp8"\nsize = [640, 368]\n')
    assert read(path) == Saved(engine="wan-1.3b", memory=Wishes(weights="fp8", size=(640, 368)))
    path.write_text('[memory]\nwieghts = "fp8"\n')
    with pytest.raises(SavedError, match="wieghts"):
        read(path)


def test_what_is_pinned_and_does_not_fit_is_refused_at_once(no_daemon: Path, tmp_path: Path) -> None:
    fake_tool(tmp_path, f'echo "{SMALL}"\n')
    path = f"{tmp_path}:{os.environ['PATH']}"
    options = ("daemon", "--engine", "wan-1.3b", "--vae", "wan")
    refused = run_limner(no_daemon, *options, PATH=path)
    assert refused.code == 1
    assert "wan-1.3b as you want it needs" in refused.sentence and "2.9 of 8.0" in refused.sentence
    fp8 = run_limner(no_daemon, "daemon", "--engine", "wan-1.3b", "--weights", "fp8", PATH=path)
    assert "RTX 3060 cannot multiply fp8" in fp8.sentence
    wrong = run_limner(no_daemon, "daemon", "--weights", "fp4")
    assert wrong.code == 2 and wrong.sentence.startswith("--weights")


def test_auto_is_the_model_here_that_suits_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path, f'echo "{SMALL.replace("8192, 3000", "12288, 9500")}"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "models"))
    assert best_engine("auto", Wishes()) == "pocket", "no model is here"
    monkeypatch.setattr(Store, "state", lambda *_: State("here", ""))
    assert best_engine("auto", Wishes()) == "wan-1.3b-taehv", "nothing of it has to be given up"
    assert best_engine("cuda:1", Wishes()) == "pocket", "there is no such card"
    assert best_engine("cpu", Wishes()) == "pocket"
    assert best_engine("auto", Wishes(weights="fp8")) == "pocket"
    cpu = TorchBuild(version="2.13.0+cpu", cuda="")
    assert best_engine("auto", Wishes(), cpu) == "pocket", "torch would not use the card"


def test_a_model_that_the_processor_would_paint_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, cuda = TorchBuild(version="2", cuda=""), TorchBuild(version="2", cuda="12.8")
    monkeypatch.setenv("PATH", str(tmp_path))
    config = DaemonConfig(engine="wan-1.3b")
    assert outlook(config, cuda).slow.startswith("there is no NVIDIA GPU")
    fake_tool(tmp_path, f'echo asked >> {tmp_path}/times\necho "{SMALL}"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    assert "torch was built for processors alone" in outlook(config, cpu).slow
    assert outlook(config, cuda).slow == "" and outlook(config, cuda).plan is not None
    # A driver that hangs answers after seconds, or never: nobody asks it twice.
    (tmp_path / "times").unlink()
    outlook(config, cpu)
    assert (tmp_path / "times").read_text() == "asked\n"
    for meant in (DaemonConfig(engine="wan-1.3b", device="cpu"), DaemonConfig(), DaemonConfig(engine="echo")):
        assert outlook(meant, cpu).slow == ""
