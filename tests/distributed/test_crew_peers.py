"""Who may paint with the worker: whoever has the same weights, and two machines that have one name."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.distributed.test_crew_machines import LOOPBACK, free_port

from limner.daemon.rank_keys import new_keys
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.crew import Crew
from limner.worker.crew.digest import digest_of
from limner.worker.crew.messages import Hello
from limner.worker.crew.rank_line import EXIT_DISMISSED, RankLine
from limner.worker.model_source import ModelSource

DIGEST = "a" * 32
PATIENCE_S = 20.0


def source_of(path: Path) -> ModelSource:
    return ModelSource(name="one", table={}, origin=path, paths={"dit": path})


def test_a_digest_is_of_what_is_in_a_file_not_of_its_name(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    data = bytes(range(256)) * 4096
    one.write_bytes(data)
    same.write_bytes(data)
    other.write_bytes(data[:-1] + b"x")
    assert digest_of(source_of(one)) == digest_of(source_of(same)) != digest_of(source_of(other))
    folder = tmp_path / "repository" / "transformer"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(data)
    (folder / "config.json").write_text("{}")
    assert digest_of(source_of(folder.parent)) == digest_of(source_of(one))


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> object:
    """A crew, and what makes a rank's line to it from another machine."""
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    keys, address = new_keys(tmp_path / "key"), f"{LOOPBACK}:{free_port(LOOPBACK)}"
    crew = Crew(
        CrewConfig(
            endpoint=f"ipc://{tmp_path}/ranks",
            engine="one",
            digest=DIGEST,
            devices=[],
            threads=1,
            listen=address,
            keys=keys,
        )
    )
    request.addfinalizer(crew.close)

    def line(process: str) -> RankLine:
        hello = Hello(
            seat=-1, machine="studio", pid=7, device="cpu", device_name="CPU", process=process, place=process
        )
        made = RankLine(endpoint=f"tcp://{address}", hello=hello, keys=keys)
        request.addfinalizer(made.close)
        made.start()
        made.welcome(PATIENCE_S)
        return made

    return crew, line, exits


Lines = tuple[Crew, Callable[[str], RankLine], list[int]]


def test_two_machines_of_one_name_and_process_id_are_two(lines: Lines) -> None:
    crew, line, _ = lines
    for process in ("one", "other"):
        line(process).knows(DIGEST)
    assert len(crew.wait_for_known(2, PATIENCE_S)) == 2


def test_who_has_other_weights_is_refused_in_a_sentence(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    _, line, exits = lines
    with caplog.at_level(logging.ERROR, "limner.worker"):
        line("one").knows("b" * 32)
        end_s = time.monotonic() + PATIENCE_S
        while not exits and time.monotonic() < end_s:
            time.sleep(0.02)
    assert exits[0] == EXIT_DISMISSED
    assert "has other weights of one than the worker; fetch the same on both machines" in caplog.text
