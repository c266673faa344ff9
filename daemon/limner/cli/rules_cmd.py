"""`limner rules`: what OBS's scenes, filters and sources change, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from limner.cli import style_desk as desk
from limner.cli.console import out
from limner.cli.errors import CliError
from limner.daemon.client import Client, ClientError
from limner.daemon.protocol import Overview
from limner.daemon.rulebook import EFFECTS, Rule
from limner.daemon.style_file import own_file
from limner.obs_bridge.rules import Wanted, effect, foretold, judge, wanted
from limner.obs_bridge.state import ObsState

app = typer.Typer(
    help="What OBS's scenes, filters and sources change: rules in the file of your styles.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)
EXAMPLE = """no rules yet. They stand as text in {file}, for example:

  [[rules]]
  scene = "Gaming"          # while this scene is on air (a list of scenes does, too)
  style = "neon"            # also: prompt, strength, steps, transition_ms, bypass

  [[rules]]
  source = "Webcam"         # while the filter "Dream" of the source "Webcam" is switched on
  filter = "Dream"          # (enabled = false: switched off)
  strength = 0.8

  [[rules]]
  source = "Be right back"  # while this source is visible on air (shown = false: is not)
  shown = true
  session = "Webcam"        # only for the Limner filter of this source; without: for all of them
  bypass = true

All rules that hold count; of two that set the same, the later one wins. What a rule has set goes back
to what it was when no rule speaks of it any more."""


@app.callback()
def _rules(ctx: typer.Context) -> None:
    """What OBS's scenes, filters and sources change: rules in the file of your styles."""
    if ctx.invoked_subcommand is None:
        list_rules()


@app.command("list")
def list_rules(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the rules, or show how to write one."""
    rules = desk.own()[1].rules
    if as_json:
        typer.echo(msgspec.json.encode(rules).decode())
    elif not rules:
        typer.echo(EXAMPLE.format(file=own_file()))
    else:
        table = _table("While", "For", "Set")
        for number, rule in enumerate(rules, 1):
            table.add_row(str(number), _conditions(rule), rule.session or "every filter", _effects(rule))
        out().print(table)


@app.command()
def check() -> None:
    """Look for mistakes: in the file, and in the names of styles."""
    styles, file = desk.own()
    if faults := desk.unknown_styles(styles, file):
        raise CliError(f"{own_file()}: " + "; ".join(faults))
    count = len(file.rules)
    if not own_file().exists():
        typer.echo(f"no rules: {own_file()} is not there")
        return
    typer.echo(f"{count} rule{'' if count == 1 else 's'}, no mistake found in {own_file()}")


@app.command()
def explain(
    *,
    scene: Annotated[str | None, typer.Option(help="As if this scene were on air.", metavar="NAME")] = None,
    preview: Annotated[
        str | None, typer.Option(help="As if this one were in studio mode's preview.", metavar="NAME")
    ] = None,
    switched: Annotated[
        list[str] | None,
        typer.Option("--filter", help="As if this filter were on or off.", metavar="SOURCE/FILTER=on|off"),
    ] = None,
    shown: Annotated[
        list[str] | None, typer.Option("--shown", help="As if it were visible on air.", metavar="SOURCE")
    ] = None,
    hidden: Annotated[
        list[str] | None, typer.Option("--hidden", help="As if it were not.", metavar="SOURCE")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="For this session; default: all that are open.", metavar="NAME")
    ] = None,
) -> None:
    """Say of each rule whether it holds, and why: in OBS as it is now, or as the options say."""
    rules = desk.own()[1].rules
    overview = _overview()
    state = _state(overview, scene, preview, switched or [])
    state = replace(state, shown=(state.shown | set(shown or ())) - set(hidden or ()))
    typer.echo(f"On air: {state.scene or '?'}" + (f"; preview: {state.preview}" if state.preview else ""))
    table = _table("Holds", "Why", "Set")
    for verdict in judge(rules, state, *((session,) if session else ())):
        table.add_row(
            str(verdict.number), "yes" if verdict.holds else "no", verdict.why, _effects(verdict.rule)
        )
    out().print(table)
    open_now = [one.name for one in overview.sessions if one.role == "filter"] if overview else []
    for name in [session] if session else open_now or [""]:
        named = (name,) if name else ()
        typer.echo(f"{name or 'Every filter'}: {_said(wanted(rules, state, *named))}")
        if coming := foretold(rules, state, *named):
            typer.echo(f"  {state.preview} would bring: {_said(coming)}")


def _overview() -> Overview | None:
    try:
        with Client() as client:
            return client.query()
    except ClientError:
        return None


def _state(
    overview: Overview | None, scene: str | None, preview: str | None, switched: list[str]
) -> ObsState:
    """Return OBS as it is, with what the options say instead; raises CliError when nothing is known."""
    info = overview.obs if overview else None
    if info is None or not info.connected:
        if scene is None:
            why = info.sentence if info else "no daemon with rules is running"
            raise CliError(f"OBS is not connected ({why}); say --scene NAME to try the rules without it")
        state = ObsState()
    else:
        state = ObsState.of(info)
    filters = dict(state.filters) | dict(_switched(text) for text in switched)
    return replace(
        state,
        scene=state.scene if scene is None else scene,
        preview=state.preview if preview is None else preview,
        filters=filters,
    )


def _switched(text: str) -> tuple[tuple[str, str], bool]:
    name, _, value = text.rpartition("=")
    source, slash, filter_name = name.partition("/")
    if value not in ("on", "off") or not slash:
        raise typer.BadParameter(f"--filter is {text!r}; it must be SOURCE/FILTER=on or SOURCE/FILTER=off")
    return (source, filter_name), value == "on"


def _said(what: Wanted) -> str:
    return "; ".join(what.reasons) or "nothing; it stays, or goes back to what it was before the rules"


def _conditions(rule: Rule) -> str:
    parts = [f"scene is {' or '.join(rule.scenes)}"] if rule.scenes else []
    if rule.filter:
        parts.append(f"filter {rule.filter} of {rule.source} is {'off' if rule.enabled is False else 'on'}")
    if rule.shown is not None:
        parts.append(f"{rule.source} is {'shown' if rule.shown else 'not shown'}")
    return " and ".join(parts)


def _effects(rule: Rule) -> str:
    values: dict[str, Any] = {name: getattr(rule, name) for name in EFFECTS}
    return ", ".join(effect(name, value) for name, value in values.items() if value is not None)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", *headings):
        table.add_column(heading, overflow="fold")
    return table
