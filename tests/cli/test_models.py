"""`limner models` as a process, with folders of its own, against a hub on this machine."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.runner import Result, finish, run_limner, start_limner
from tests.models.fakes import FILES, TINY, safetensors, write_files
from tests.models.loopback_hub import loopback_hub
from tests.support.daemon import wait_for

from limner.daemon.lock import InstanceLock

NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Home:
    """A home of its own with one model, `tiny`."""

    folder: Path
    address: str = NOWHERE

    @property
    def variables(self) -> dict[str, str]:
        xdg = {f"XDG_{kind}_HOME": str(self.folder / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE")}
        return xdg | {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(self.folder / "hf"),
            "LIMNER_MODELS_DIR": "",
            "LIMNER_CONFIG_DIR": str(self.folder / "config" / "limner"),
        }

    @property
    def files(self) -> Path:
        return self.folder / "data" / "limner" / "models" / "tiny"

    def at(self, address: str) -> Home:
        return Home(self.folder, address)

    def run(self, *arguments: str | Path) -> Result:
        return run_limner(self.folder, "models", *arguments, **self.variables)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    own = tmp_path / "config" / "limner" / "models"
    own.mkdir(parents=True)
    (own / "tiny.toml").write_text(TINY)
    return Home(tmp_path)


def test_a_models_life(home: Home) -> None:
    with loopback_hub() as (address, _):
        result = home.at(address).run("pull", "tiny", "--yes")
    assert result.code == 0, result.err
    assert "licence: MIT" in result.err and "wan/base: apache-2.0, by its model card" in result.err
    assert "tiny is here" in result.err
    row = next(row for row in json.loads(home.run("list", "--json").out) if row["name"] == "tiny")
    assert (row["presence"], row["is_own"]) == ("here", True)
    shown = json.loads(home.run("show", "tiny", "--json").out)
    assert [part["is_here"] for part in shown["parts"]] == [True] * 5
    assert "all files are as they were pulled" in home.run("verify").said
    vae = home.files / "vae" / "vae.safetensors"
    vae.write_bytes(vae.read_bytes()[:-1] + b"\0")
    damaged = home.run("verify", "tiny")
    assert (damaged.code, damaged.sentence) == (1, "get the damaged files anew with: limner models pull tiny")
    with loopback_hub() as (address, _):
        again = home.at(address)
        assert again.run("pull", "tiny", "--yes").code == 0
        assert "tiny is on this machine already" in again.run("pull", "tiny").said
    removed = home.run("remove", "tiny", "--yes")
    assert removed.code == 0 and "are free again" in removed.said
    assert not home.files.exists()


def test_from_a_folder_and_without_the_network(home: Home) -> None:
    downloads = write_files(home.folder / "downloads")
    assert home.run("pull", "tiny", "--from", downloads, "--yes").code == 0
    assert "all files" in home.run("verify", "tiny").said
    lacking = home.run("pull", "wan-14b", "--from", downloads, "--yes")
    assert lacking.code == 1 and "lacks wan_causal_dmd_v2v_14b/model.pt" in lacking.sentence


def test_ctrl_c_is_clean_and_the_next_pull_goes_on(home: Home) -> None:
    large = FILES | {"me/distilled": {"causal/model.safetensors": safetensors(1, 12_000_000)}}
    with loopback_hub(large, stall_after=11_000_000) as (address, _):
        process = start_limner(home.folder, "models", "pull", "tiny", "--yes", **home.at(address).variables)

        def begun() -> bool:
            return any(path.stat().st_size > 10**7 for path in (home.files / "dit").rglob("*.part"))

        wait_for(begun, "the first 10 MB")
        process.send_signal(signal.SIGINT)
        result = finish(process)
    assert result.code == 130
    assert result.sentence == "stopped; what was fetched is kept, and the same command goes on"
    with loopback_hub(large) as (address, handler):
        again = home.at(address).run("pull", "tiny", "--yes")
        assert again.code == 0 and "of them here already" in again.err
        assert any(path == "causal/model.safetensors" and wanted for path, wanted in handler.requests)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pull", "tiny", "--yes"), "the hub cannot be reached"),
        (("pull", "tini"), "unknown model 'tini'; did you mean tiny?"),
        (("remove", "../data"), "unknown model '../data'"),
        (("remove", "tiny"), "Nobody can answer here: say --yes"),
        (("remove", "tiny", "--yes"), "tiny is not on this machine; nothing was removed"),
    ],
)
def test_faults_are_one_sentence(home: Home, arguments: tuple[str, ...], sentence: str) -> None:
    result = home.run(*arguments)
    assert result.code == 1 and sentence in result.sentence


def test_tables_that_the_engine_does_not_take_are_said_before_anything_is_fetched(home: Home) -> None:
    (home.folder / "config/limner/models/mine.toml").write_text('base = "tiny"\n[engine.dit]\nheads = 0\n')
    result = home.run("pull", "mine", "--yes")
    assert result.code == 1
    assert "dit.heads is 0; it must be at least 1" in result.sentence


def test_a_faulty_file_of_ones_own_is_named_and_the_rest_is_listed(home: Home) -> None:
    (home.folder / "config/limner/models/bad.toml").write_text("title = 3")
    result = home.run("list")
    assert result.code == 0 and "wan-1.3b" in result.out and "tiny" in result.out
    assert "bad.toml" in result.sentence


def test_a_model_is_chosen_for_every_daemon(home: Home) -> None:
    result = home.run("use", "tiny")
    assert result.code == 0 and "tiny is not on this machine; run: limner models pull tiny" in result.err
    assert (home.folder / "config/limner/config.toml").read_text() == 'engine = "tiny"\n'
    assert any(line.startswith("*  tiny") for line in home.run("list").out.splitlines())
    assert "unknown model" in home.run("use", "nope").sentence
    automatic = home.run("use", "auto")
    assert "engine = 'auto'" in automatic.said and "limner daemon --stop" not in automatic.said
    lock = InstanceLock.acquire(home.folder)
    assert f"(process {os.getpid()}) goes on as it is" in home.run("use", "auto").said
    lock.release()
    listed = home.run("list")
    assert "auto is chosen" in listed.said and not any(line[0] == "*" for line in listed.out.splitlines())
    (home.folder / "config/limner/config.toml").write_text('engine = "nope"')
    started = run_limner(home.folder, "daemon", "--detach", **home.variables)
    assert started.code == 1 and "config.toml: unknown engine 'nope'; there are: pocket" in started.sentence
    (home.folder / "config/limner/config.toml").write_text("engine = 1")
    assert "config.toml" in run_limner(home.folder, "daemon", "--detach", **home.variables).sentence
    listed = home.run("list")
    assert listed.code == 0 and "wan-1.3b" in listed.out and "config.toml" in listed.sentence
