"""A model of the user's own: pulled from a folder, chosen by name, painted with by a real daemon."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
import tomlkit
from tests.cli.runner import run_limner
from tests.engine.tiny import random_weights, tiny_config
from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Applied, Change, Status
from limner.engine.config import ModelConfig

SIZE = (96, 96)


def config() -> ModelConfig:
    return dataclasses.replace(tiny_config(), sizes=(SIZE,), default_size=SIZE)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Variables of a user whose catalogue has `tiny`."""
    table = dataclasses.asdict(config())
    del table["name"]
    document = {
        "title": "Tiny",
        "licence": "MIT",
        "parts": {"weights": {"repository": "me/tiny", "files": ["model.safetensors"]}},
        "engine": table,
    }
    own = tmp_path / "config" / "limner" / "models"
    own.mkdir(parents=True)
    (own / "tiny.toml").write_text(tomlkit.dumps(document))
    folders = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("DATA", "CACHE")}
    return folders | {"LIMNER_CONFIG_DIR": str(own.parent)}


def test_a_model_that_is_not_here_is_said_and_the_daemon_stays(home: dict[str, str]) -> None:
    sentence = "tiny is not on this machine; run: limner models pull tiny"
    with running_daemon("tiny", threads=1, **home) as daemon:

        def failed() -> str | None:
            worker = daemon.query().worker
            return worker.sentence if worker.state == "failed" else None

        assert wait_for(failed, "the worker's failure", log=daemon.log).startswith(sentence)
        hello = hello_for("clip", "demo", (640, 360), 30.0, Change())
        with ClientSession(hello, daemon.runtime_dir) as session:
            status = wait_for(lambda: _failure(session), "the session's failure", log=daemon.log)
            assert sentence in status.sentence


def _failure(session: ClientSession) -> Status | None:
    event = session.receive(0.1)
    return event if isinstance(event, Status) and event.state == "failed" else None


def test_a_model_is_pulled_chosen_and_painted_with(home: dict[str, str], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    downloads = tmp_path / "downloads"
    downloads.mkdir()
    weights = {key: value.contiguous() for key, value in random_weights(config()).items()}
    save_file(weights, downloads / "model.safetensors")
    pulled = run_limner(tmp_path, "models", "pull", "tiny", "--from", downloads, "--yes", **home)
    assert pulled.code == 0, pulled.err
    with running_daemon("tiny", threads=2, **home) as daemon:
        worker = daemon.wait_ready().worker
        assert (worker.model, worker.device) == ("tiny", "CPU")
        hello = hello_for("clip", "demo", (640, 640), 30.0, Change(prompt="oil", strength=1.0))
        with ClientSession(hello, daemon.runtime_dir) as session:
            assert (session.welcome.width, session.welcome.height) == SIZE
            first = _painted(session, daemon)
            session.set(Change(prompt="neon", transition_ms=0), rev=7)
            assert _applied(session, daemon) == 7
            assert _painted(session, daemon) != first


@pytest.mark.slow
@pytest.mark.parametrize("vae", ["wan", "taehv"])
def test_a_wan_is_pulled_and_painted_with(tmp_path: Path, vae: Literal["wan", "taehv"]) -> None:
    from tests.support.tiny_wan import NAME, write_files, write_toml

    own = tmp_path / "config" / "models"
    write_toml(own, vae)
    downloads = write_files(own, tmp_path / "downloads")
    home = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("DATA", "CACHE")}
    home["LIMNER_CONFIG_DIR"] = str(own.parent)
    pulled = run_limner(tmp_path, "models", "pull", NAME, "--from", downloads, "--yes", **home)
    assert pulled.code == 0, pulled.err
    with running_daemon(NAME, threads=2, **home) as daemon:
        worker = daemon.wait_ready().worker
        assert (worker.model, worker.device) == (NAME, "CPU")
        hello = hello_for("clip", "demo", (640, 640), 30.0, Change(prompt="an oil painting", strength=0.8))
        with ClientSession(hello, daemon.runtime_dir) as session:
            assert (session.welcome.width, session.welcome.height) == SIZE
            first = _painted(session, daemon)
            session.set(Change(prompt="Fog over a NEON street", transition_ms=0), rev=7)
            assert _applied(session, daemon) == 7
            assert _painted(session, daemon) != first
            # How fast it is says nothing of it: it may be overloaded here.
            assert daemon.query().sessions[0].status.state != "failed"


def _painted(session: ClientSession, daemon: RunningDaemon) -> bytes:
    """Send one grey frame after another until a painted one is there, and return it."""
    grey = b"\x80" * (SIZE[0] * SIZE[1] * 4)

    def look() -> bytes | None:
        session.send_frame(grey)
        event = session.receive(0.03)
        if isinstance(event, PaintedFrame):
            with event:
                return bytes(event.pixels)
        return None

    return wait_for(look, "a painted frame", log=daemon.log)


def _applied(session: ClientSession, daemon: RunningDaemon) -> int:
    grey = b"\x80" * (SIZE[0] * SIZE[1] * 4)

    def look() -> int | None:
        session.send_frame(grey)
        event = session.receive(0.03)
        if isinstance(event, PaintedFrame):
            event.release()
        return event.rev if isinstance(event, Applied) and event.rev else None

    return wait_for(look, "`applied`", log=daemon.log)
