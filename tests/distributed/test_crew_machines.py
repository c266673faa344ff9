"""Ranks on another machine: who may join, painting over the network, and a cable that is pulled."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.distributed.crew_room import room
from tests.distributed.network import HERE, other_machine
from tests.distributed.test_crew_daemon import Live
from tests.support.daemon import running_daemon

from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.protocol import Change
from limner.daemon.rank_keys import KeyFileError, new_keys, read_keys
from limner.daemon.supervisor import child_environment
from limner.worker.model_source import WEIGHTS

LOOPBACK = "127.0.0.2"


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextmanager
def joining(address: str, key: Path, *, within: list[str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`limner ranks join`, as a person runs it on the other machine."""
    process = subprocess.Popen(
        [*(within or []), sys.executable, "-m", "limner.cli", "ranks", "join", address, f"--key={key}"],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ranks.key"
    keys = new_keys(path)
    assert read_keys(path) == keys
    with pytest.raises(KeyFileError, match="is there already"):
        new_keys(path)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_keys(path)
    path.write_text("{}")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="is no key file"):
        read_keys(path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_keys(tmp_path / "none")


@pytest.mark.slow
def test_only_who_has_the_key_may_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    keys = new_keys(right)
    new_keys(wrong)
    monkeypatch.setenv("LIMNER_TEST_ENGINES", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()), prepend=":")
    address = f"{LOOPBACK}:{free_port(LOOPBACK)}"
    with room(0, listen=address, keys=keys, address=LOOPBACK) as crew:
        with joining(address, wrong):
            # As long as it takes the right one, and a while.
            with joining(address, right):
                assert crew.crew.wait_for(1, 60.0) == 1
            crew.until(lambda: not crew.crew.waiting(), "the end of who left")
            assert crew.crew.wait_for(1, 1.0) == 0
        with joining(address, right):
            assert crew.crew.wait_for(1, 60.0) == 1
            formation = crew.gather()
            assert formation.ranks[0].hello.seat == -1
            assert crew.goes_round() == 1.0
        crew.until(formation.lost, "the loss of who left")


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there")
def test_another_machine_paints_and_a_pulled_cable_is_survived(tmp_path: Path) -> None:
    key = tmp_path / "ranks.key"
    new_keys(key)
    with other_machine() as machine:
        address = f"{HERE}:{free_port(HERE)}"
        options = [f'--ranks={{"listen":"{address}","key":"{key}"}}']
        with running_daemon("pocket", threads=1, options=options) as daemon:
            daemon.wait_ready()
            hello = hello_for("clip", "demo", (640, 360), 30.0, Change(strength=1.0, seed=1))
            with (
                ClientSession(hello, daemon.runtime_dir) as session,
                joining(address, key, within=machine.command),
            ):
                live = Live(session, daemon)
                ranks = live.until_ranks(2)
                assert ranks[1].machine == socket.gethostname()
                live.paints()
                machine.pull_cable()
                began_s = time.monotonic()
                live.until_without(ranks[1].pid)
                # 1.5 s of silence, on a machine that has nothing else to do.
                assert time.monotonic() - began_s < 5.0
                live.paints()
                live.until_ranks(1)
                machine.plug_in()
                again = live.until_ranks(2)
                assert again[1].pid == ranks[1].pid, "who was cut off kept its process, and its weights"
                live.paints()
