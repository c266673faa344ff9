"""`limner models`: what models there are, and getting, checking and removing their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from limner.cli import models_view as view
from limner.cli.console import fail, out, say
from limner.cli.errors import EXIT_INTERRUPTED, CliError
from limner.cli.models_check import check_tables
from limner.cli.models_meter import ByteMeter
from limner.daemon.lock import running_pid
from limner.daemon.paths import runtime_dir
from limner.daemon.saved import SavedError, save_engine
from limner.daemon.saved import read as read_saved
from limner.models.catalogue import AUTO, IN_THE_BOX, load
from limner.models.entry import Entry
from limner.models.errors import CancelledError, UnknownModelError
from limner.models.folder_hub import FolderHub
from limner.models.hub import Hub
from limner.models.hugging_face import HuggingFaceHub
from limner.models.pull import fetch
from limner.models.store import Store
from limner.models.survey import Survey, survey, total
from limner.models.verify import verify as verify_files
from limner.models.words import size

app = typer.Typer(
    help="See, get, check and remove models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(help="A model; `limner models list` has them.", metavar="NAME")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(*, as_json: Json = False) -> None:
    """List the models, their size, whether they are here; * is what `limner models use` chose."""
    catalogue, store = load(), Store()
    rows = [view.POCKET, *(view.Row.of(entry, store.state(entry)) for entry in catalogue)]
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        chosen = _chosen()
        out().print(view.table(rows, chosen))
        if chosen == AUTO:
            say("auto is chosen: of the models that are here the one that suits the GPU best")
    for problem in catalogue.problems.values():
        fail(str(problem))


def _chosen() -> str:
    try:
        return read_saved().engine or view.POCKET.name
    except SavedError as error:
        # The models are there all the same.
        fail(str(error))
        return ""


@app.command()
def show(name: Name, *, as_json: Json = False) -> None:
    """Show all of one model: its parts, where they come from, its licence."""
    entry, store = load().find(name), Store()
    if as_json:
        typer.echo(msgspec.json.encode(view.details(entry, store)).decode())
    else:
        view.print_details(entry, store)


@app.command()
def pull(
    name: Name,
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Take the files from this folder, not from the network.", metavar="FOLDER"
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Get the files of a model. Stopped or broken, the same command goes on where it ended."""
    entry, store = load().find(name), Store()
    hub: Hub = FolderHub(folder) if folder else HuggingFaceHub()
    if entry.is_own:
        check_tables(name)
    if faults := store.local_faults(entry):
        raise CliError(faults[0])
    plan = survey(entry, hub, store)
    for note in plan.notes:
        say(f"note: {note}")
    if not plan.missing and store.state(entry).presence == "here":
        say(f"{name} is on this machine already, {size(store.state(entry).size_bytes)}")
        return
    _tell(plan)
    _ask("Go on and get it?", yes=yes)
    try:
        with ByteMeter(f"getting {name}", plan.missing_bytes) as meter:
            manifest = fetch(plan, hub, store, meter)
    except CancelledError as error:
        raise CliError(str(error), exit_code=EXIT_INTERRUPTED) from error
    say(f"{name} is here, {size(manifest.size_bytes)} in {store.folder(name)}")
    say(f"paint with it: limner models use {name}, or limner daemon --engine {name}")


def _tell(plan: Survey) -> None:
    entry = plan.entry
    say(f"{entry.name}: {entry.title}; to get: {total(plan)}, into {Store().folder(entry.name)}")
    say(f"licence: {entry.licence}")
    for repository, licence in plan.licences.items():
        if licence:
            say(f"  {repository}: {licence}, by its model card")


@app.command()
def use(name: Name) -> None:
    """Paint with this model (or pocket, or auto) from the next start of the daemon on, OBS's own too."""
    if name not in IN_THE_BOX:
        say(Store().state(load().find(name)).sentence)
    try:
        path = save_engine(name)
    except SavedError as error:
        raise CliError(str(error)) from error
    say(f"{path} says engine = {name!r} now")
    if (pid := running_pid(runtime_dir())) is not None:
        say(
            f"the daemon that runs (process {pid}) goes on as it is; end it with: limner daemon --stop"
            " (OBS's filter then starts it anew)"
        )


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="A model; none: all that are here.", metavar="[NAME]")
    ] = None,
) -> None:
    """Read all files through and compare them with their checksums."""
    catalogue, store = load(), Store()
    chosen = (
        [catalogue.find(name)] if name else [e for e in catalogue if store.state(e).presence != "missing"]
    )
    if not chosen:
        say("no model is on this machine; see: limner models list")
    faulty = [entry for entry in chosen if not _verify_one(entry, store)]
    if not faulty:
        return
    # What lies where its owner has put it, no pull can mend.
    pulled = [
        entry.name for entry in faulty if entry.is_pulled and not store.manifest(entry.name).is_complete
    ]
    if pulled:
        raise CliError(f"get the damaged files anew with: limner models pull {pulled[0]}")
    raise CliError("correct the files that are named, or the paths to them")


def _verify_one(entry: Entry, store: Store) -> bool:
    with ByteMeter(f"checking {entry.name}", store.manifest(entry.name).size_bytes) as meter:
        faults = verify_files(entry, store, meter)
    for fault in faults:
        say(f"{entry.name}: {fault}")
    state = store.state(entry)
    if not faults and state.presence != "here":
        faults = (state.sentence,)
        say(state.sentence)
    if not faults:
        say(f"{entry.name}: all files are as they were pulled, {size(state.size_bytes)}")
    return not faults


@app.command()
def remove(name: Name, *, yes: Yes = False) -> None:
    """Delete the files of a model that were pulled, and nothing else."""
    store, catalogue = Store(), load()
    # The files of a model that is in the catalogue no more can still be removed.
    if name not in {*catalogue.entries, *catalogue.problems} and not store.is_model(name):
        raise UnknownModelError(f"unknown model {name!r}; there are: {', '.join(catalogue.entries)}")
    folder = store.folder(name)
    _ask(f"Remove the files of {name} in {folder}?", yes=yes)
    removed = store.remove(name)
    shared = (
        f"; {size(removed.shared_bytes)} stay, another place uses them too" if removed.shared_bytes else ""
    )
    say(f"{name} is removed, {size(removed.freed_bytes)} are free again{shared}")
    if removed.left:
        say(f"left as it is, since it was not pulled: {', '.join(map(str, removed.left))}")


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliError(f"{question} Nobody can answer here: say --yes")
    if not typer.confirm(question, default=True, err=True):
        raise CliError("nothing was done")
