"""`limner set`: change the look of what is live."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from limner.cli.options import MotionAware, Prompt, Seed, Steps, Strength, Style, change_from
from limner.daemon.client import Client
from limner.daemon.protocol import Accepted, Applied, Change, SessionInfo, Settings, Status

# A chunk takes well below a second; the first after a restart of the worker takes longer.
APPLIED_TIMEOUT_S = 5.0


def set_settings(
    *,
    style: Style = None,
    prompt: Prompt = None,
    strength: Strength = None,
    steps: Steps = None,
    seed: Seed = None,
    motion_aware: MotionAware = None,
    bypass: Annotated[bool | None, typer.Option("--bypass/--no-bypass", help="Show the source.")] = None,
    session: Annotated[
        str, typer.Option(help="Only this session; default: all, and those to come.", metavar="NAME")
    ] = "*",
) -> None:
    """Change the look of what is live. Says when the change is in the picture."""
    change = change_from(
        style=style,
        prompt=prompt,
        strength=strength,
        steps=steps,
        seed=seed,
        motion_aware=motion_aware,
        bypass=bypass,
    )
    if change == Change():
        raise typer.BadParameter("nothing to set: give --style, --prompt, --strength, --steps or --seed")
    with Client() as client:
        live = [one for one in _reached(client, session) if _is_live(one.status)]
        said_at = time.monotonic()
        accepted = client.set(change, session)
        typer.echo(f"accepted: {describe(accepted.settings)}")
        for note in accepted.notes:
            typer.echo(f"note: {note}")
        if live:
            _wait_until_applied(client, accepted, live, said_at)
        else:
            typer.echo("nothing is live; it will be in the picture as soon as something is")


def _is_live(status: Status) -> bool:
    """Whether a change can be seen soon: a hidden source sends no frames."""
    return status.state in ("live", "overloaded") and status.fps_in > 0


def _reached(client: Client, session: str) -> list[SessionInfo]:
    return [one for one in client.query().sessions if session in ("*", one.name, one.status.session)]


def _wait_until_applied(client: Client, accepted: Accepted, live: list[SessionInfo], said_at: float) -> None:
    """Print a line for each live session as its picture changes."""
    names = {one.status.session: one.name for one in live if not one.status.settings.bypass}
    deadline = said_at + APPLIED_TIMEOUT_S
    while names and (left := deadline - time.monotonic()) > 0:
        message = client.receive_message(left)
        if isinstance(message, Applied) and message.rev == accepted.rev and message.session in names:
            name = names.pop(message.session)
            typer.echo(f"in the picture of {name} after {(time.monotonic() - said_at) * 1000:.0f} ms")
    for name in names.values():
        typer.echo(f"{name}: not in the picture yet after {APPLIED_TIMEOUT_S:g} s; see limner status")


def describe(settings: Settings) -> str:
    """Return settings as people say them."""
    look = settings.style or "custom"
    words = f" ({settings.prompt!r})" if settings.prompt and settings.prompt != look else ""
    steps = "1 step" if settings.steps == 1 else f"{settings.steps} steps"
    extra = ", bypassed: the source is shown" if settings.bypass else ""
    return f"{look}{words}, strength {settings.strength:g}, {steps}, seed {settings.seed}{extra}"
