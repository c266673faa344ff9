"""Real processes: starting, stopping, killing. Nothing may be left behind (running_daemon checks that)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import zmq
from tests.daemon.echo import echo_session, paint
from tests.support.daemon import (
    RunningDaemon,
    limner_processes,
    private_runtime_dir,
    running_daemon,
    start_daemon,
    wait_for,
    wait_ready,
)

from limner.daemon.client import Client, DaemonLostError, RefusedError
from limner.daemon.client_session import ClientSession, PaintedFrame
from limner.daemon.lock import running_pid, stop_daemon
from limner.daemon.paths import LOCK_FILE, endpoint
from limner.daemon.protocol import Applied, Change, Status, from_daemon
from limner.daemon.protocol import Error as ErrorMessage
from limner.daemon.start import EXIT_ALREADY_RUNNING

COMMAND = [sys.executable, "-m", "limner.daemon"]


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to end at once."""
    return subprocess.run(
        [*COMMAND, f"--runtime-dir={folder}", "--engine=echo", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, how)


# ---- start and stop


def test_it_serves_soon_and_without_torch() -> None:
    with private_runtime_dir() as folder:
        began_s = time.monotonic()
        daemon = start_daemon(folder)
        took_s = time.monotonic() - began_s
        maps = Path(f"/proc/{daemon.pid}/maps").read_text()
        assert daemon.stop() == 0
    assert "torch" not in maps
    # The aim is 0.5 s on an idle machine; this one may be busy.
    assert took_s < 5


def test_a_second_daemon_names_the_first() -> None:
    with running_daemon() as daemon:
        second = start(daemon.runtime_dir)
        assert second.returncode == EXIT_ALREADY_RUNNING == 4
        assert f"process {daemon.pid}" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        assert daemon.wait_ready()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_clients_are_told(how: signal.Signals) -> None:
    with running_daemon() as daemon:
        daemon.wait_ready()
        with echo_session(daemon) as session:
            paint(session, 7)
            daemon.process.send_signal(how)

            def told() -> bool:
                event = session.receive(1.0)
                return isinstance(event, ErrorMessage) and event.code == "stopping"

            wait_for(told, "the daemon's goodbye")
            assert daemon.process.wait(30) == 0
        assert not (daemon.runtime_dir / LOCK_FILE).exists()


def test_stop_waits_until_it_is_gone() -> None:
    with running_daemon() as daemon:
        assert running_pid(daemon.runtime_dir) == daemon.pid
        assert stop_daemon(daemon.runtime_dir) == daemon.pid
        assert running_pid(daemon.runtime_dir) is None
        assert daemon.process.wait(10) == 0


def test_it_ends_with_the_process_it_belongs_to() -> None:
    """Even when that is killed, as the parent of a daemon of its own (`limner demo`) may be."""
    script = "import os, subprocess, sys; subprocess.Popen([*sys.argv[1:], f'--parent={os.getpid()}']).wait()"
    with private_runtime_dir() as folder:
        options = ["--engine=echo", f"--runtime-dir={folder}"]
        with subprocess.Popen([sys.executable, "-c", script, *COMMAND, *options]) as parent:
            wait_ready(folder)
            pid = running_pid(folder)
            parent.kill()
        assert pid is not None
        wait_for(lambda: running_pid(folder) is None, "the end of the daemon")


def test_it_does_not_begin_when_the_process_it_belongs_to_is_gone() -> None:
    with private_runtime_dir() as folder:
        assert start(folder, f"--parent={os.getppid()}").returncode == 0


def test_it_goes_to_the_background_and_says_when_it_cannot() -> None:
    with private_runtime_dir() as folder:
        assert start(folder, "--detach").returncode == 0
        with Client(folder) as client:
            pid = client.query().pid
        assert running_pid(folder) == pid
        second = start(folder, "--detach")
        assert second.returncode == EXIT_ALREADY_RUNNING == 4
        assert f"process {pid}" in second.stderr
        assert stop_daemon(folder) == pid


def test_a_rude_parent_does_not_harm_it() -> None:
    """OBS may start it with signals blocked and with files open that must not stay open."""
    with private_runtime_dir() as folder, socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()
        script = (
            "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals());"
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        )
        options = ["--detach", "--engine=echo", f"--runtime-dir={folder}"]
        command = [sys.executable, "-c", script, *COMMAND, *options]
        subprocess.run(command, check=True, timeout=60, pass_fds=[port.fileno()])
        overview = wait_ready(folder)
        first = overview.worker.pid
        links = [str(link.readlink()) for link in Path(f"/proc/{overview.pid}/fd").iterdir()]
        assert f"socket:[{os.fstat(port.fileno()).st_ino}]" not in links
        kill(first)
        assert wait_ready(folder, not_pid=first).worker.restarts == 1
        assert stop_daemon(folder) == overview.pid


def test_what_stands_in_its_way_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    in_the_way = start(file)
    assert in_the_way.returncode == 1
    assert str(file) in in_the_way.stderr
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    assert "chmod 700" in start(open_folder).stderr
    assert "too long" in start(tmp_path / ("x" * 120)).stderr
    for option in ("--engine=wan", "--threads=-3", "--threads=x", "--speed=9"):
        refused = start(tmp_path / "run", option)
        assert refused.returncode == 2
        assert option.split("=")[1] in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_socket_path_that_is_taken_is_named() -> None:
    with private_runtime_dir() as folder:
        (folder / "daemon.sock").mkdir()
        refused = start(folder)
        assert refused.returncode == 1
        assert "daemon.sock" in refused.stderr
        assert "Traceback" not in refused.stderr
        (folder / "daemon.sock").rmdir()


# ---- killing


def test_a_killed_worker_is_replaced_and_the_same_session_goes_on() -> None:
    with running_daemon() as daemon:
        first = daemon.wait_ready().worker.pid
        with echo_session(daemon) as session:
            segments = daemon.segments
            paint(session, 1)
            kill(first)
            daemon.wait_ready(not_pid=first)
            assert paint(session, 2) == 2
            assert daemon.segments == segments
            worker = daemon.query().worker
            assert worker.restarts == 1
            assert worker.pid != first


def test_a_killed_daemon_leaves_no_worker_and_no_segment() -> None:
    with private_runtime_dir() as folder:
        daemon = start_daemon(folder)
        worker = daemon.wait_ready().worker.pid
        with echo_session(daemon) as session:
            paint(session, 1)
            kill(daemon.pid)
            daemon.process.wait()

            def lost() -> bool:
                try:
                    session.receive(0.5)
                except DaemonLostError:
                    return True
                return False

            wait_for(lost, "the client's notice")
        wait_for(lambda: not daemon.segments, "the end of the segments")
        wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the end of the worker")
        # What it left: a socket, a lock file. The next one does not mind.
        next_one = start_daemon(folder)
        next_one.wait_ready()
        with echo_session(next_one) as session:
            assert paint(session, 3) == 3
        assert next_one.stop() == 0


def test_daemon_and_worker_killed_together_are_cleaned_up_by_the_next_start() -> None:
    with private_runtime_dir() as folder:
        daemon = start_daemon(folder)
        worker = daemon.wait_ready().worker.pid
        session = echo_session(daemon)
        kill(daemon.pid, signal.SIGSTOP)
        kill(worker)
        kill(daemon.pid)
        daemon.process.wait()
        assert len(daemon.segments) == 2
        next_one = start_daemon(folder)
        assert next_one.segments == []
        session.close()
        assert next_one.stop() == 0


def test_a_client_that_vanishes_leaves_nothing() -> None:
    script = "\n".join(
        [
            "import os, signal, sys",
            "from pathlib import Path",
            "from limner.daemon.client_session import ClientSession, hello_for",
            "from limner.daemon.protocol import Change",
            "hello = hello_for('doomed', 'filter', (64, 48), 30.0, Change())",
            "ClientSession(hello, Path(sys.argv[1]))",
            "os.kill(os.getpid(), signal.SIGKILL)",
        ]
    )
    with running_daemon() as daemon:
        daemon.wait_ready()
        subprocess.run([sys.executable, "-c", script, str(daemon.runtime_dir)], check=False, timeout=60)
        wait_for(lambda: not daemon.segments, "the end of the segments")
        assert daemon.query().sessions == []
        with echo_session(daemon) as session:
            assert paint(session, 5) == 5


def test_a_daemon_that_stood_still_forgives_its_clients() -> None:
    with running_daemon() as daemon:
        daemon.wait_ready()
        with echo_session(daemon) as session:
            kill(daemon.pid, signal.SIGSTOP)
            time.sleep(1.2)
            kill(daemon.pid, signal.SIGCONT)
            assert paint(session, 9) == 9
            assert [s.name for s in daemon.query().sessions] == ["pattern"]


# ---- sessions and bad input


def test_two_sessions_have_settings_of_their_own() -> None:
    with running_daemon(engine="tests.worker.fakes:fake", LIMNER_TEST_ENGINES="1") as daemon:
        daemon.wait_ready()
        with (
            echo_session(daemon, "one", Change(seed=1)) as one,
            echo_session(daemon, "two", Change(seed=2)) as two,
        ):
            assert painted_value(one) == 1
            assert painted_value(two) == 2
            with Client(daemon.runtime_dir) as terminal:
                terminal.set(Change(seed=9), "two", rev=5)
                applied = wait_for(lambda: feed_until_applied(two, terminal), "`applied`")
            assert (applied.session, applied.rev) == ("two", 5)
            assert painted_value(two, newest=True) == 9
            assert painted_value(one, newest=True) == 1


def feed_until_applied(session: ClientSession, terminal: Client) -> Applied | None:
    send_black(session)
    while (event := session.receive(0.02)) is not None:
        if isinstance(event, PaintedFrame):
            event.release()
    message = terminal.receive_message(0.02)
    return message if isinstance(message, Applied) else None


def send_black(session: ClientSession) -> None:
    session.send_frame(bytes(session.welcome.width * session.welcome.height * 4))


def painted_value(session: ClientSession, *, newest: bool = False) -> int:
    """Return the first byte of a painted frame; `newest`: of one that was sent from now on."""
    since_ns = time.monotonic_ns() if newest else 0

    def look() -> PaintedFrame | None:
        send_black(session)
        event = session.receive(0.05)
        if isinstance(event, PaintedFrame):
            if event.pts_ns > since_ns:
                return event
            event.release()
        return None

    with wait_for(look, "a painted frame") as frame:
        return frame.pixels[0]


@pytest.mark.parametrize("prompt", ["raise", "no stream"])
def test_a_session_that_cannot_be_painted_leaves_the_others_alone(prompt: str) -> None:
    with running_daemon(engine="tests.worker.fakes:fake", LIMNER_TEST_ENGINES="1") as daemon:
        pid = daemon.wait_ready().worker.pid
        with (
            echo_session(daemon, "good", Change(seed=4)) as good,
            echo_session(daemon, "bad", Change(prompt=prompt)) as bad,
        ):
            assert wait_failed(bad)
            assert painted_value(good, newest=True) == 4
            bad.set(Change(prompt="well again", seed=6), rev=3)
            assert painted_value(bad, newest=True) == 6
        assert daemon.query().worker.pid == pid


def wait_failed(session: ClientSession) -> Status:
    def failed() -> Status | None:
        send_black(session)
        event = session.receive(0.05)
        return event if isinstance(event, Status) and event.state == "failed" else None

    return wait_for(failed, "the state failed")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("die", "SIGABRT"),
        ("fatal", "the device is broken"),
        ("no memory", "not enough memory"),
    ],
)
def test_a_worker_that_dies_over_a_session_says_why_and_comes_back(prompt: str, words: str) -> None:
    with running_daemon(engine="tests.worker.fakes:fake", LIMNER_TEST_ENGINES="1") as daemon:
        daemon.wait_ready()
        with echo_session(daemon, "camera", Change(prompt=prompt)) as session:

            def reason() -> bool:
                send_black(session)
                event = session.receive(0.05)
                return isinstance(event, Status) and words in event.sentence

            wait_for(reason, f"a sentence with {words!r}", log=daemon.log)
            session.set(Change(prompt="well again", seed=7), rev=1)
            assert painted_value(session, newest=True) == 7


def test_a_model_that_is_too_large_is_said_and_tried_again_with_less() -> None:
    with running_daemon(engine="tests.worker.fakes:too_large", LIMNER_TEST_ENGINES="1") as daemon:

        def said() -> bool:
            worker = daemon.query().worker
            return worker.state == "failed" and "Not enough memory" in worker.sentence

        wait_for(said, "a sentence that says why", log=daemon.log)
        wait_for(lambda: steps_down(daemon) >= 2, "a smaller plan", log=daemon.log)


def steps_down(daemon: RunningDaemon) -> int:
    """How many plans the worker of now passes over; 0: none runs."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(daemon.pid).children():
            for argument in process.cmdline():
                if argument.startswith("--step-down="):
                    return int(argument.partition("=")[2])
    return 0


def test_a_session_that_is_out_of_memory_goes_on_with_less_and_says_why() -> None:
    with running_daemon(engine="tests.worker.fakes:narrow", LIMNER_TEST_ENGINES="1") as daemon:
        pid = daemon.wait_ready().worker.pid
        with echo_session(daemon, "camera", Change(seed=5, steps=3, mode="latency")) as session:
            assert painted_value(session) == 5

            def told() -> bool:
                send_black(session)
                event = session.receive(0.05)
                if isinstance(event, PaintedFrame):
                    event.release()
                return isinstance(event, Status) and "memory allows 1 of 3 steps" in event.sentence

            wait_for(told, "a sentence that says why", log=daemon.log)
            session.set(Change(seed=6), rev=1)
            assert painted_value(session, newest=True) == 6
        assert daemon.query().worker.pid == pid


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced() -> None:
    with running_daemon(engine="tests.worker.fakes:fake", LIMNER_TEST_ENGINES="1") as daemon:
        first = daemon.wait_ready().worker.pid
        with echo_session(daemon, "camera", Change(prompt="hang")) as session:

            def hung() -> bool:
                send_black(session)
                event = session.receive(0.05)
                return isinstance(event, Status) and "hung" in event.sentence

            wait_for(hung, "the end of patience", log=daemon.log)
            session.set(Change(prompt="well again", seed=7), rev=1)
            assert painted_value(session, newest=True) == 7
            assert daemon.query().worker.pid != first


def test_an_engine_that_cannot_be_loaded_is_named_and_tried_again() -> None:
    with running_daemon(engine="tests.worker.fakes:unloadable", LIMNER_TEST_ENGINES="1") as daemon:

        def failed() -> bool:
            worker = daemon.query().worker
            return worker.state == "failed" and "the weights are not there" in worker.sentence

        wait_for(failed, "the reason", log=daemon.log)
        wait_for(lambda: daemon.query().worker.restarts >= 2, "another try", log=daemon.log)


def test_bad_messages_on_a_real_socket_hurt_nobody() -> None:
    with running_daemon() as daemon, zmq.Context() as context:
        daemon.wait_ready()
        with echo_session(daemon) as session, context.socket(zmq.DEALER) as rude:
            rude.linger = 0
            rude.connect(endpoint("daemon.sock", daemon.runtime_dir))
            for parts, code in (
                ([b""], "garbage"),
                ([b"\x93\x01"], "garbage"),
                ([b"a", b"b"], "garbage"),
                ([b"\0" * 70_000], "too_large"),
                ([b"\x82\xa1v\x02\xa4type\xa4ping"], "version"),
                ([b"\x82\xa1v\x01\xa4type\xa4ping"], "no_session"),
            ):
                rude.send_multipart(parts)
                assert rude.poll(30_000)
                answer = from_daemon.decode(rude.recv())
                assert isinstance(answer, ErrorMessage)
                assert answer.code == code
            assert paint(session, 3) == 3


def test_nobody_else_may_speak_as_the_worker() -> None:
    with running_daemon() as daemon, zmq.Context() as context:
        daemon.wait_ready()
        with echo_session(daemon) as session, context.socket(zmq.DEALER) as stranger:
            stranger.linger = 0
            stranger.connect(endpoint("worker.sock", daemon.runtime_dir))
            stranger.send(b"\x83\xa1v\x01\xa4type\xa6failed\xa7session\xa7pattern\xa7message\xa1x")
            assert stranger.poll(30_000), "it is told to stop"
            assert paint(session, 3) == 3


def test_an_unknown_style_is_refused_with_a_suggestion() -> None:
    with running_daemon() as daemon, Client(daemon.runtime_dir) as client:
        with pytest.raises(RefusedError, match="did you mean 'noir'"):
            client.set(Change(style="noire"))
        assert client.set(Change(style="noir")).settings.style == "noir"


def test_no_process_is_left_when_a_start_is_cut_short() -> None:
    with private_runtime_dir() as folder:
        daemon: RunningDaemon = start_daemon(folder)
        assert daemon.stop() == 0
        assert limner_processes(folder) == []
