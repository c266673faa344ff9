"""Writes docs/cli.md from the commands' own help: `python -m limner.cli.cli_doc > docs/cli.md`."""

from __future__ import annotations

from typer.testing import CliRunner

from limner.cli.main import COMMANDS, app

PAGES = [[], *([name] for name in COMMANDS)]
BENCHES = (["bench", "bridge"], ["bench", "engine"])
MODELS = [["models", name] for name in ("list", "show", "pull", "use", "verify", "remove")]
STYLES = [
    ["styles", name] for name in ("list", "show", "add", "edit", "remove", "import", "export", "thumbnails")
]
RULES = [["rules", name] for name in ("list", "explain", "check")]
WIDTH = 100
HEAD = """# The `limner` command

This page is made from the commands' own help (`python -m limner.cli.cli_doc > docs/cli.md`); a test holds
it to that.

Exit codes: 0 done; 1 something went wrong, in one sentence on stderr; 2 the options make no sense; 3 no
daemon is running; 4 (`limner daemon`) one is running already; 130 Ctrl-C. Progress and errors go to
stderr, results to stdout. Without a terminal there are plain lines instead of bars and tables that redraw.

`LIMNER_RUNTIME_DIR` chooses the folder of the daemon's sockets, so that several daemons can run apart;
`LIMNER_CONFIG_DIR` that of your own settings (`~/.config/limner`).

Reports (`--report FILE`) are JSON with `frames_in`, `frames_out` (painted), `dropped`, `fps`,
`first_frame_ms`, `latency_ms` (p50, p95, p99: from handing a frame over to its painted one), `stages_ms`,
`model`, `device`, the command, the versions and the machine. `demo` adds `frames_written`: where a frame
was dropped the latest painted one is shown, so the video keeps its length. `bench bridge` adds
`latency_with_write_ms` (with the client's own copy into shared memory), `late_ms` (how late the bench
itself was), and what was lost: by design (`no_slot`, `overtaken`) or otherwise.
"""


def render() -> str:
    """Return the page."""
    parts = [HEAD]
    for page in (*PAGES, *MODELS, *STYLES, *RULES, *BENCHES):
        name = " ".join(["limner", *page])
        result = CliRunner().invoke(
            app, [*page, "--help"], prog_name="limner", terminal_width=WIDTH, max_content_width=WIDTH
        )
        if result.exit_code:
            raise RuntimeError(f"{name} --help failed: {result.output}")
        parts.append(f"## `{name}`\n\n```\n{result.output.rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(render(), end="")
