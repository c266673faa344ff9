"""`limner daemon`: start it here, in the background, or end it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from limner.cli.errors import EXIT_USAGE, CliError
from limner.cli.memory_options import (
    MostChunk,
    MostSteps,
    Sessions,
    Size,
    TextEncoder,
    Vae,
    Weights,
    Window,
    wishes_from,
)
from limner.cli.rank_flags import RankDecode, RankDevices, RankKey, RankListen, Ranks, absolute
from limner.daemon.config import DaemonConfig
from limner.daemon.expected import best_engine, in_words, outlook
from limner.daemon.lock import StopError, running_pid, stop_daemon
from limner.daemon.paths import runtime_dir
from limner.daemon.rank_options import rank_options
from limner.daemon.saved import Saved, SavedError
from limner.daemon.saved import check as check_saved
from limner.daemon.saved import read as read_saved
from limner.daemon.start import run
from limner.models.catalogue import AUTO
from limner.models.plan_choice import Refusal, Wishes
from limner.models.plan_torch import torch_build


def daemon(
    *,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What paints: pocket, a model of `limner models list`, auto (the one of these here that"
            " suits the GPU best), or echo (gives back what it gets)."
            " Default: what `limner models use` chose, else pocket.",
            metavar="NAME",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where: auto (the GPU with the most free memory, if there is one), cpu, cuda or cuda:N as"
            " nvidia-smi counts them.",
            metavar="DEVICE",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of the worker; 0 leaves one core to OBS if it can.", metavar="N"),
    ] = None,
    weights: Weights = None,
    vae: Vae = None,
    size: Size = None,
    most_steps: MostSteps = None,
    most_chunk: MostChunk = None,
    window: Window = None,
    text_encoder: TextEncoder = None,
    sessions: Sessions = None,
    ranks: Ranks = 0,
    rank_devices: RankDevices = "",
    rank_listen: RankListen = "",
    rank_key: RankKey = "",
    rank_decode: RankDecode = "auto",
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the running daemon.")] = False,
) -> None:
    """Run the daemon that paints for OBS, until Ctrl-C."""
    if stop:
        _stop()
        return
    try:
        saved = read_saved()
        said = {"engine": engine, "device": device, "threads": threads}
        check_saved(saved, but=[name for name, value in said.items() if value is not None])
        wishes = wishes_from(
            saved.memory,
            size=size,
            text=text_encoder,
            weights=weights,
            vae=vae,
            steps=most_steps,
            chunk=most_chunk,
            window_frames=window,
            streams=sessions,
        )
        chosen = _chosen(saved, **said)
        if chosen.get("engine") == AUTO:
            chosen["engine"] = best_engine(chosen.get("device", "auto"), wishes, torch_build())
            typer.echo(f"{chosen['engine']} suits this machine best", err=True)
        own, others = rank_options(
            chosen.get("device", "auto"),
            ranks,
            rank_devices,
            rank_listen,
            absolute(rank_key),
            decode=rank_decode,
        )
        config = DaemonConfig(**(chosen | {"device": own}), wishes=wishes, ranks=others, detach=detach)
    except SavedError as error:
        raise CliError(str(error)) from error
    except ValueError as error:
        raise CliError(str(error), exit_code=EXIT_USAGE) from error
    _tell_plan(config)
    code = run(config)
    if detach and code == 0:
        typer.echo(f"the daemon runs in the background, process {running_pid(config.runtime_dir)}", err=True)
    raise typer.Exit(code)


def _tell_plan(config: DaemonConfig) -> None:
    """Say what is about to be loaded, with its bytes; refuse what is pinned and cannot be."""
    expected = outlook(config, torch_build())
    plan = expected.plan
    if isinstance(plan, Refusal) and config.wishes != Wishes():
        raise CliError(in_words(plan))
    if expected.slow:
        typer.echo(f"{config.engine}: {expected.slow}", err=True)
    elif plan is not None:
        # Where it does not fit, memory may be free by the time that it is needed.
        typer.echo(f"{config.engine}: {in_words(plan)}", err=True)


def _chosen(saved: Saved, **options: Any) -> dict[str, Any]:
    """Return what the command says, else what the user's file says; without what neither says."""
    chosen = {name: getattr(saved, name) if value is None else value for name, value in options.items()}
    return {name: value for name, value in chosen.items() if value is not None}


def _stop() -> None:
    try:
        pid = stop_daemon(runtime_dir())
    except (StopError, PermissionError) as error:
        raise CliError(str(error)) from error
    typer.echo("no daemon was running" if pid is None else f"the daemon (process {pid}) has ended", err=True)
