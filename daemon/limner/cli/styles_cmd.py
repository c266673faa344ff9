"""`limner styles`: what looks there are, and the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from limner.cli import options as o
from limner.cli import style_desk as desk
from limner.cli.console import fail, out
from limner.cli.errors import EXIT_FAILED
from limner.cli.words import mix as mix_in_words
from limner.daemon.style_file import own_file
from limner.daemon.styles import Style

app = typer.Typer(
    help="Named looks: those in the box, and your own in one TOML file.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A style.", metavar="NAME")]
Lora = Annotated[
    list[str] | None,
    typer.Option("--lora", help="A LoRA to paint with, and how much.", metavar="NAME[=WEIGHT]"),
]
Notes = Annotated[str | None, typer.Option("--notes", help="Words for yourself.", metavar="TEXT")]
Thumbnail = Annotated[
    str | None, typer.Option("--thumbnail", help="A picture of it, relative to the file.", metavar="FILE")
]


@app.callback()
def _styles(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Named looks: those in the box, and your own in one TOML file. Without a command, list them."""
    if ctx.invoked_subcommand is None:
        list_styles(as_json=as_json)


@app.command("list")
def list_styles(*, as_json: Json = False) -> None:
    """List the styles in their order. A * marks what is from your file."""
    known, problem = desk.known()
    if as_json:
        typer.echo(msgspec.json.encode(list(known)).decode())
    else:
        out().print(_table(list(known)))
        typer.echo(f"* {'changed or added in' if own_file().exists() else 'would be from'} {own_file()}")
    if problem:
        fail(problem)
        raise typer.Exit(EXIT_FAILED)


def _table(styles: list[Style]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("Style", "Prompt", "Strength", "Steps"):
        table.add_column(heading, overflow="fold")
    for style in styles:
        name = f"{style.name} *" if style.is_own else style.name
        least = "" if style.least_steps is None else f"{style.least_steps}–"
        table.add_row(name, _words(style), f"{style.strength:g}", f"{least}{style.steps}")
    return table


def _words(style: Style) -> str:
    return mix_in_words(style.mix) if style.mix else style.prompt


@app.command()
def show(*, name: Name, as_json: Json = False) -> None:
    """Show all of a style."""
    style = desk.find(name)
    if as_json:
        typer.echo(msgspec.json.encode(style).decode())
        return
    values: dict[str, Any] = msgspec.to_builtins(style)
    values["mix"] = _words(style) if style.mix else ""
    values["lora"] = ", ".join(f"{lora.name} ({lora.weight:g})" for lora in style.lora)
    values["is_own"] = f"your file, {own_file()}" if style.is_own else "in the box"
    for key, value in values.items():
        if value not in (None, ""):
            typer.echo(f"{'from' if key == 'is_own' else key.replace('_', ' ')}: {value}")


@app.command()
def add(
    *,
    name: Annotated[str, typer.Argument(help="The new style.", metavar="NAME")],
    prompt: o.Prompt = None,
    mix: o.Mix = None,
    strength: o.Strength = None,
    steps: o.Steps = None,
    least_steps: o.LeastSteps = None,
    seed: o.Seed = None,
    transition_ms: o.TransitionMs = None,
    steadiness: o.Steadiness = None,
    lora: Lora = None,
    notes: Notes = None,
    thumbnail: Thumbnail = None,
) -> None:
    """Write a new style into your file."""
    change = _change(mix, lora, prompt=prompt, strength=strength, steps=steps, least_steps=least_steps)
    numbers = {"seed": seed, "transition_ms": transition_ms, "steadiness": steadiness}
    words = {"notes": notes, "thumbnail": thumbnail}
    desk.add(name, change | _given(numbers) | _given(words))
    _told(f"style {name!r} is added")


@app.command()
def edit(
    *,
    name: Name,
    prompt: o.Prompt = None,
    mix: o.Mix = None,
    strength: o.Strength = None,
    steps: o.Steps = None,
    least_steps: o.LeastSteps = None,
    seed: o.Seed = None,
    transition_ms: o.TransitionMs = None,
    steadiness: o.Steadiness = None,
    lora: Lora = None,
    notes: Notes = None,
    thumbnail: Thumbnail = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", help="Take this key out of your file.", metavar="KEY")
    ] = None,
) -> None:
    """Change a style in your file; of one in the box, your file gets what differs."""
    change = _change(mix, lora, prompt=prompt, strength=strength, steps=steps, least_steps=least_steps)
    numbers = {"seed": seed, "transition_ms": transition_ms, "steadiness": steadiness}
    words = {"notes": notes, "thumbnail": thumbnail}
    values = change | _given(numbers) | _given(words)
    if not values and not unset:
        raise typer.BadParameter("nothing to change: give --prompt, --strength or another option")
    desk.edit(name, values, [key.replace("-", "_") for key in unset or ()])
    _told(f"style {name!r} is changed")


@app.command()
def remove(*, name: Name) -> None:
    """Take a style out of your file."""
    back = desk.remove(name)
    _told(f"style {name!r} is " + ("as it comes with Limner again" if back else "removed"))


@app.command("import")
def import_styles(
    *,
    file: Annotated[Path, typer.Argument(help="A file of styles.", metavar="FILE")],
    replace: Annotated[bool, typer.Option("--replace", help="Instead of yours of the same name.")] = False,
) -> None:
    """Copy the styles of another file into yours."""
    names = desk.import_from(file, replace=replace)
    _told(f"{len(names)} imported: {', '.join(names)}")


@app.command("export")
def export_styles(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(help="Which; default: all of yours.", metavar="[NAME]…")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Into this file; default: print them.", metavar="FILE")
    ] = None,
) -> None:
    """Write styles as a file that others can import."""
    text = desk.export(names or [])
    if to is None:
        typer.echo(text, nl=False)
        return
    desk.write_new(to, text)
    typer.echo(f"written to {to}", err=True)


@app.command()
def thumbnails(
    *,
    names: Annotated[list[str] | None, typer.Argument(help="Which; default: all.", metavar="[NAME]…")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The picture to paint; default: a drawn one.", metavar="FILE"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--to", help="Folder; default: thumbnails/ beside your file.", metavar="DIR"),
    ] = None,
) -> None:
    """Paint a small picture of each style, with the running daemon or one of its own."""
    from limner.cli.thumbnails import paint  # noqa: PLC0415  (numpy and pillow)

    chosen = [desk.find(name) for name in names] if names else list(desk.known()[0])
    for path in paint(chosen, source, folder or own_file().with_name("thumbnails")):
        typer.echo(str(path))


def _change(mix: list[str] | None, lora: list[str] | None, **values: object) -> dict[str, Any]:
    """Return what was given, checked, as it stands in a file."""
    found: dict[str, Any] = msgspec.to_builtins(o.change_from(mix=mix, lora=lora, **values))
    return found


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _told(sentence: str) -> None:
    typer.echo(f"{sentence} ({own_file()}); a running daemon takes it over within a second", err=True)
