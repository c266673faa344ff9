"""All checks in turn, printed."""

from __future__ import annotations

import dataclasses
import json
import os

import typer
from rich.text import Text

from limner.cli.console import out
from limner.cli.doctor import control, daemon, gpu, machine, obs
from limner.cli.doctor.findings import Finding
from limner.daemon.saved import Saved
from limner.models.plan_cards import cards
from limner.models.plan_seen import card_for
from limner.models.plan_torch import torch_build

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "blocked": ("✗", "red")}


def examine(*, as_json: bool) -> int:
    """Check everything, print it and return the exit code."""
    findings = all_findings()
    stuck = [finding for finding in findings if finding.state == "blocked"]
    if as_json:
        checks = [dataclasses.asdict(finding) for finding in findings]
        typer.echo(json.dumps({"ok": not stuck, "checks": checks}, indent=2))
    else:
        _print(findings, stuck)
    return 1 if stuck else 0


def all_findings() -> list[Finding]:
    """Run all checks."""
    saved, choices = control.check_choices()
    return [
        machine.check_python(),
        machine.check_packages(),
        machine.check_cpu(),
        machine.check_memory(),
        machine.check_shared_memory(),
        choices,
        *_gpu(saved),
        daemon.check_runtime_dir(),
        obs.check_obs(),
        obs.check_plugin(),
        obs.check_command(),
        obs.check_obs_running(),
        *control.check_control(),
        *daemon.check_daemon(),
    ]


def _gpu(saved: Saved) -> list[Finding]:
    found = cards()
    card = card_for(saved.device or "auto", found, os.environ)
    return [
        *gpu.check_cards(found),
        *gpu.check_torch(found, torch_build()),
        *gpu.check_device(found, card, saved.device or "auto"),
        # A model that is live would be told to be too large for what it has left.
        *(gpu.painting_now(daemon.painter()) or gpu.check_models(card, saved.engine or "", saved.memory)),
    ]


def _print(findings: list[Finding], stuck: list[Finding]) -> None:
    console = out()
    for finding in findings:
        mark, colour = MARKS[finding.state]
        line = Text.assemble((mark, colour), " ", (finding.name, "bold"), f": {finding.text}")
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(Text(f"    {finding.advice}", style=colour), soft_wrap=True)
    if stuck:
        names = ", ".join(finding.name for finding in stuck)
        console.print(Text(f"Limner cannot work yet: {names}.", style="red"))
    else:
        console.print(Text("Nothing stands in the way.", style="green"))
