"""Help without boxes, with the options under the headings that their `rich_help_panel` names."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class Sections(TyperCommand):
    """A command whose help has sections. (Typer brings its own click or not: hence Any.)"""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, section by section, in the order of their first one."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                heading = "Arguments" if param.param_type_name == "argument" else "Options"
                heading = getattr(param, "rich_help_panel", None) or heading
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
