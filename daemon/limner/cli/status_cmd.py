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
from rich.table import Table
from rich.text import Text

from limner.cli.console import out
from limner.cli.words import describe, in_force, rank_line
from limner.daemon.client import Client
from limner.daemon.protocol import Overview, SessionInfo, Status

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
    """Return the overview as lines of text: it must be readable in 80 columns."""
    head = Text(
        f"Limner {overview.version}: daemon {overview.pid} has been running for {_span(overview.uptime_s)}"
    )
    worker = Text(_worker_line(overview), style="red" if overview.worker.state == "failed" else "")
    if overview.styles_problem:
        head.append(f"\nStyles: {overview.styles_problem}", style="red")
    if overview.obs:
        worker.append(f"\nOBS: {overview.obs.sentence}", style="" if overview.obs.connected else "yellow")
    for rank in overview.worker.ranks:
        worker.append(f"\n  {rank_line(rank)}")
    if overview.worker.waits:
        worker.append(f"\n{overview.worker.waits}", style="yellow")
    if not overview.sessions:
        return Group(head, worker, Text("No session: add the Limner filter to a source in OBS."))
    sessions = [
        part
        for session in overview.sessions
        for part in (Text(), *_session(session, _reasons(overview, session)))
    ]
    return Group(head, worker, *sessions)


def _reasons(overview: Overview, session: SessionInfo) -> list[str]:
    """Return what the rules of OBS set in a session, and why."""
    said = overview.obs.reasons.get(session.status.session) if overview.obs else None
    return [said] if said else []


def _worker_line(overview: Overview) -> str:
    worker = overview.worker
    parts = [f"Worker: {worker.sentence or worker.state}"]
    if worker.state == "ready":
        parts += [f"{worker.model} on {worker.device}", f"{worker.memory_bytes / 2**20:.0f} MiB"]
    if worker.restarts:
        parts.append(f"restarted {worker.restarts} times" if worker.restarts > 1 else "restarted once")
    return ", ".join(parts)


def _session(session: SessionInfo, reasons: list[str]) -> tuple[Text, Table]:
    """Return a session's heading and what is to be said of it, a line each."""
    source = f"{session.source_width}×{session.source_height}"
    lines = Table.grid(padding=(0, 2))
    lines.add_column(min_width=8)
    lines.add_column(overflow="fold")
    for name, text in (*_lines(session.status), *(("Rule", reason) for reason in reasons)):
        lines.add_row(f"  {name}", Text(text))
    return Text(f"{session.name} ({session.role}, {source})", style="bold"), lines


def _lines(now: Status) -> Iterator[tuple[str, str]]:
    yield "State", now.sentence or now.state
    yield "Look", describe(now.settings)
    if now.plan:
        strength = "" if now.strength is None else f", strength {now.strength:.2f}"
        yield "Now", f"{in_force(now.plan)}{strength}"
    elif now.strength is not None:
        yield "Now", f"strength {now.strength:.2f}"
    yield "Frames", f"{now.fps_in:.1f} in, {now.fps_out:.1f} out a second; {_dropped(now)}"
    if now.painted:
        yield "Delay", f"p50 {now.latency_ms.p50:.0f} ms, p95 {now.latency_ms.p95:.0f} ms"
    if now.stages_ms:
        stages = ", ".join(f"{name} {ms:.1f}" for name, ms in now.stages_ms.items())
        yield "Stages", f"{stages} ms a chunk"


def _dropped(now: Status) -> str:
    return f"{now.dropped} of {now.received} dropped"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
