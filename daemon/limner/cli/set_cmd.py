"""`limner set`: change the look of what is live."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from limner.cli import options as o
from limner.cli.words import describe
from limner.daemon.client import Client
from limner.daemon.protocol import Accepted, Applied, Change, SessionInfo, Status

# A chunk takes well below a second; the first after a restart of the worker takes longer.
APPLIED_TIMEOUT_S = 5.0


def set_settings(
    *,
    style: o.Style = None,
    prompt: o.Prompt = None,
    mix: o.Mix = None,
    lora: o.Lora = None,
    transition_ms: o.TransitionMs = None,
    recache: o.Recache = None,
    strength: o.Strength = None,
    seed: o.Seed = None,
    bypass: o.Bypass = None,
    steps: o.Steps = None,
    least_steps: o.LeastSteps = None,
    latency_ms: o.LatencyMs = None,
    mode: o.Mode = None,
    chunk: o.Chunk = None,
    adapt: o.Adapt = None,
    on_air: o.OnAir = None,
    motion_aware: o.MotionAware = None,
    motion_window: o.MotionWindow = None,
    motion_smoothing: o.MotionSmoothing = None,
    motion_low: o.MotionLow = None,
    motion_high: o.MotionHigh = None,
    motion_hysteresis: o.MotionHysteresis = None,
    steadiness: o.Steadiness = None,
    cuts: o.Cuts = None,
    session: Annotated[
        str, typer.Option(help="Only this session; default: all, and those to come.", metavar="NAME")
    ] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print each receipt as a line of JSON.")] = False,
) -> None:
    """Change the look of what is live. Says what was accepted, and when it is in the picture."""
    change = o.change_from(
        style=style,
        prompt=prompt,
        mix=mix,
        lora=lora,
        transition_ms=transition_ms,
        recache=recache,
        strength=strength,
        seed=seed,
        bypass=bypass,
        steps=steps,
        least_steps=least_steps,
        latency_ms=latency_ms,
        mode=mode,
        chunk=chunk,
        adapt=adapt,
        on_air=on_air,
        motion_aware=motion_aware,
        motion_window=motion_window,
        motion_smoothing=motion_smoothing,
        motion_low=motion_low,
        motion_high=motion_high,
        motion_hysteresis=motion_hysteresis,
        steadiness=steadiness,
        cuts=cuts,
    )
    if change == Change():
        raise typer.BadParameter("nothing to set: give --style, --prompt, --strength or another option")
    with Client() as client:
        live = [one for one in _reached(client, session) if _is_live(one.status)]
        said_at = time.monotonic()
        accepted = client.set(change, session)
        _print(accepted, f"accepted: {describe(accepted.settings)}", as_json=as_json)
        if live:
            _wait_until_applied(client, accepted, live, said_at, as_json=as_json)
        elif not as_json:
            typer.echo("nothing is live; it will be in the picture as soon as something is")


def _print(receipt: Accepted | Applied, sentence: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(receipt).decode())
        return
    typer.echo(sentence)
    for note in receipt.notes:
        typer.echo(f"note: {note}")


def _is_live(status: Status) -> bool:
    """Whether a change can be seen soon: a hidden source sends no frames."""
    return status.state in ("live", "overloaded") and status.fps_in > 0


def _reached(client: Client, session: str) -> list[SessionInfo]:
    return [one for one in client.query().sessions if session in ("*", one.name, one.status.session)]


def _wait_until_applied(
    client: Client, accepted: Accepted, live: list[SessionInfo], said_at: float, *, as_json: bool
) -> None:
    """Print a receipt for each live session as its picture changes, and what the model says of the change."""
    names = {one.status.session: one.name for one in live if not one.status.settings.bypass}
    deadline = said_at + APPLIED_TIMEOUT_S
    while names and (left := deadline - time.monotonic()) > 0:
        message = client.receive_message(left)
        if isinstance(message, Applied) and message.rev == accepted.rev and message.session in names:
            after_ms = (time.monotonic() - said_at) * 1000
            where = f"in the picture of {names.pop(message.session)} after {after_ms:.0f} ms"
            _print(message, f"{where}, from chunk {message.chunk} on", as_json=as_json)
    for name in names.values():
        late = f"{name}: not in the picture yet after {APPLIED_TIMEOUT_S:g} s; see limner status"
        typer.echo(late, err=as_json)
