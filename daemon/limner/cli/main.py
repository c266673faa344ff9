"""The `limner` command. Each command lives in its own module and is imported when it is called for."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from limner.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO_DAEMON, CliError
from limner.cli.sections import Sections

# The daemon must be up in half a second: it does not pay for the others' imports.
COMMANDS = {
    "daemon": ("limner.cli.daemon_cmd", "daemon"),
    "status": ("limner.cli.status_cmd", "status"),
    "trace": ("limner.cli.trace_cmd", "trace"),
    "set": ("limner.cli.set_cmd", "set_settings"),
    "models": ("limner.cli.models_cmd", "app"),
    "ranks": ("limner.cli.ranks_cmd", "app"),
    "styles": ("limner.cli.styles_cmd", "app"),
    "reset": ("limner.cli.reset_cmd", "reset"),
    "rules": ("limner.cli.rules_cmd", "app"),
    "demo": ("limner.cli.demo.command", "demo"),
    "bench": ("limner.cli.bench.command", "app"),
    "doctor": ("limner.cli.doctor.command", "doctor"),
}


class Commands(TyperGroup):
    """The commands of COMMANDS, imported one by one. (Typer brings its own click or not: hence Any.)"""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order to show them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return one command, None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(cmd_name, cls=Sections)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="limner",
    cls=Commands,
    help="Paint a live OBS source, or a video file, with streaming video diffusion on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"limner {version('limner')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and end."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; every fault of a user is one sentence and an exit code."""
    try:
        app(prog_name="limner")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print `error` as one sentence when it is one of ours and return the exit code; else raise it again."""
    # Imported here, since only a fault needs them.
    from limner.cli.console import fail
    from limner.daemon.client import ClientError, NoDaemonError
    from limner.daemon.paths import PathError
    from limner.models.errors import ModelsError

    if not isinstance(error, CliError | ClientError | PathError | ModelsError):
        raise error
    fail(str(error))
    if isinstance(error, NoDaemonError):
        return EXIT_NO_DAEMON
    return error.exit_code if isinstance(error, CliError) else EXIT_FAILED


if __name__ == "__main__":
    main()
