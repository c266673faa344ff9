"""`limner status`: the daemon, its worker and what they paint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from limner.cli.console import out
from limner.daemon.client import Client
from limner.daemon.protocol import Overview, SessionInfo

REFRESH_S = 0.5
PLAIN_REFRESH_S = 2.0


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line each time.")] = False,
) -> None:
    """Show how the daemon, its worker and each session are. Exit code 3: no daemon is running."""
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            _print_json(watch)
        elif watch:
            _watch()
        else:
            for overview in _overviews(0.0, once=True):
                out().print(render(overview))


def _overviews(pause_s: float, *, once: bool = False) -> Iterator[Overview]:
    with Client() as client:
        while True:
            yield client.query()
            if once:
                return
            # Waiting in `receive_message` notices at once when the daemon ends.
            end = time.monotonic() + pause_s
            while (left := end - time.monotonic()) > 0:
                client.receive_message(left)


def _print_json(watch: bool) -> None:
    for overview in _overviews(PLAIN_REFRESH_S, once=not watch):
        typer.echo(msgspec.json.encode(overview).decode())


def _watch() -> None:
    console = out()
    if not console.is_terminal:
        for overview in _overviews(PLAIN_REFRESH_S):
            console.print(render(overview))
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for overview in _overviews(REFRESH_S):
            live.update(render(overview), refresh=True)


def render(overview: Overview) -> Group:
    """Return the overview as rich text and a table."""
    head = Text(
        f"Limner {overview.version}: daemon {overview.pid} has been running for {_span(overview.uptime_s)}"
    )
    worker = Text(_worker_line(overview), style="red" if overview.worker.state == "failed" else "")
    if not overview.sessions:
        return Group(head, worker, Text("No session: add the Limner filter to a source in OBS."))
    table = Table(box=None, pad_edge=False)
    for heading in ("Session", "State", "Look", "FPS in/out", "Delay p50/p95", "Dropped", "Stages"):
        table.add_column(heading, overflow="fold")
    for session in overview.sessions:
        table.add_row(*_row(session))
    return Group(head, worker, table)


def _worker_line(overview: Overview) -> str:
    worker = overview.worker
    parts = [f"Worker: {worker.sentence or worker.state}"]
    if worker.state == "ready":
        parts += [f"{worker.model} on {worker.device}", f"{worker.memory_bytes / 2**20:.0f} MiB"]
    if worker.restarts:
        parts.append(f"restarted {worker.restarts} times" if worker.restarts > 1 else "restarted once")
    return ", ".join(parts)


def _row(session: SessionInfo) -> tuple[str, ...]:
    now = session.status
    settings = now.settings
    look = f"{settings.style or settings.prompt or 'custom'} {settings.strength:g}, {settings.steps} st."
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in now.stages_ms.items())
    cells = (
        f"{session.name} ({session.role}, {session.source_width}×{session.source_height})",
        now.sentence or now.state,
        look,
        f"{now.fps_in:.1f} / {now.fps_out:.1f}",
        f"{now.latency_ms.p50:.0f} / {now.latency_ms.p95:.0f} ms" if now.painted else "-",
        f"{now.dropped} of {now.received}",
        f"{stages} ms" if stages else "-",
    )
    return tuple(escape(cell) for cell in cells)


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
