"""Writes docs/models.md: `python -m limner.worker.models_doc > docs/models.md`. A test compares them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

from limner.models import catalogue
from limner.models.entry import Entry
from limner.models.paths import BUILT_IN
from limner.models.words import size

_NO_FOLDER = BUILT_IN / "none"
_LONGEST = 40
# Which class describes which table of a model's file.
_TABLES = {
    "parts.NAME": "limner.models.entry:Part",
    "engine": "limner.engine.config:ModelConfig",
    "engine.dit": "limner.engine.dit.config:DiTConfig",
    'engine.vae, kind = "wan"': "limner.engine.wan.vae_config:WanVaeConfig",
    'engine.vae, kind = "taehv"': "limner.engine.wan.taehv_config:TaehvConfig",
    'engine.vae, kind = "pocket"': "limner.engine.vae:VaeConfig",
    'engine.text, kind = "umt5"': "limner.engine.wan.text:Umt5Config",
    'engine.text, kind = "words"': "limner.engine.text:TextConfig",
    "engine.schedule": "limner.engine.schedule:ScheduleConfig",
    "engine.noise": "limner.engine.noise:NoiseConfig",
}
# Tables have sections of their own.
_LEFT_OUT = {"engine": {"name", "vae", "text", "dit", "schedule", "noise"}}
HEAD = Path(__file__).with_name("models_head.md")


def render() -> str:
    """Return the page."""
    models = "\n".join(_row(entry) for entry in catalogue.load(own=_NO_FOLDER))
    sections = [HEAD.read_text(encoding="utf-8").replace("{models}", models)]
    for table, path in _TABLES.items():
        module, name = path.split(":")
        sections.append(_section(table, getattr(importlib.import_module(module), name)))
    return "\n".join(sections)


def _row(entry: Entry) -> str:
    return f"| `{entry.name}` | {entry.title}. {entry.about} | about {size(entry.about_bytes)} |"


def _section(table: str, cls: type) -> str:
    left_out = _LEFT_OUT.get(table, set())
    rows = [row for name, row in _keys(cls) if name not in left_out]
    return "\n".join([f"## `[{table}]`", "", "| Key | Default | Meaning |", "|---|---|---|", *rows, ""])


def _keys(cls: type) -> Iterator[tuple[str, str]]:
    """Walk the fields of a class, each with the docstring that stands below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    defaults = _defaults(cls)
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        name = field.target.id
        assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant), f"{cls}.{name}"
        meaning = " ".join(str(text.value.value).split()).replace("|", "\\|")
        yield name, f"| `{name}` | {defaults[name]} | {meaning} |"


def _defaults(cls: type) -> dict[str, str]:
    """Return each field's default as TOML has it."""
    if dataclasses.is_dataclass(cls):
        return {field.name: _toml(field.default) for field in dataclasses.fields(cls)}
    return {field.name: _toml(field.default) for field in msgspec.structs.fields(cls)}


def _toml(value: object) -> str:
    if value is dataclasses.MISSING or value is msgspec.NODEFAULT:
        return "–"
    text = msgspec.json.encode(value).decode()
    return f"`{text}`" if len(text) <= _LONGEST else "the published ones"


if __name__ == "__main__":
    print(render(), end="")
