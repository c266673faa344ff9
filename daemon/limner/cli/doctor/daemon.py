"""Checks of the daemon: its folder, whether it runs, how its worker is."""

from __future__ import annotations

from pathlib import Path

from limner.cli.doctor.findings import Finding, blocked, fine, warning
from limner.daemon.client import Client, ClientError, NoDaemonError, version
from limner.daemon.paths import DAEMON_SOCKET, PathError, endpoint, ensure_private_dir, runtime_dir
from limner.daemon.protocol import Overview, WorkerInfo


def check_runtime_dir(folder: Path | None = None) -> Finding:
    """Can sockets be made, and only by this user?"""
    name = "Runtime folder"
    folder = folder or runtime_dir()
    try:
        endpoint(DAEMON_SOCKET, folder)
        ensure_private_dir(folder)
    except PathError as error:
        text, _, advice = str(error).partition("; ")
        return blocked(name, text, advice)
    return fine(name, str(folder))


def painter(folder: Path | None = None) -> WorkerInfo | None:
    """Return the worker of the running daemon; None: no daemon answers."""
    try:
        with Client(folder) as client:
            return client.query().worker
    except ClientError:
        return None


def check_daemon(folder: Path | None = None) -> list[Finding]:
    """Does the daemon answer, and does its worker paint?"""
    try:
        with Client(folder) as client:
            overview = client.query()
    except NoDaemonError as error:
        text, _, advice = str(error).partition("; ")
        return [warning("Daemon", text, advice or "start one with: limner daemon --detach")]
    except ClientError as error:
        return [blocked("Daemon", str(error), "end it with: limner daemon --stop")]
    return [_daemon(overview), _worker(overview), _sessions(overview)]


def _daemon(overview: Overview) -> Finding:
    text = f"version {overview.version}, process {overview.pid}"
    if overview.version != version():
        advice = f"this is Limner {version()}: restart it (limner daemon --stop; limner daemon --detach)"
        return warning("Daemon", text, advice)
    return fine("Daemon", text)


def _worker(overview: Overview) -> Finding:
    worker = overview.worker
    if worker.state == "failed":
        return blocked("Worker", worker.sentence or "failed", f"look into {runtime_dir() / 'worker.log'}")
    if worker.state != "ready":
        return warning("Worker", worker.sentence or worker.state, "wait a few seconds and look again")
    memory = f"{worker.memory_bytes / 2**20:.0f} MiB"
    return fine("Worker", f"{worker.model} on {worker.device}, {memory}, {worker.restarts} restarts")


def _sessions(overview: Overview) -> Finding:
    lines = [f"{one.name}: {one.status.sentence or one.status.state}" for one in overview.sessions]
    bad = [one for one in overview.sessions if one.status.state in ("failed", "overloaded")]
    if bad:
        return warning("Sessions", "; ".join(lines), "see limner status --watch")
    return fine("Sessions", "; ".join(lines) or "none")
