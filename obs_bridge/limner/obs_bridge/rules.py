"""The rules, decided: a state of OBS in, a change for a session out, with the reason. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from limner.daemon.protocol import Change
from limner.daemon.rulebook import EFFECTS, Rule
from limner.obs_bridge.state import ObsState


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a rule holds, and why, in words."""

    number: int
    """Of the rule in the file, from 1."""
    rule: Rule
    holds: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the rules want of a session. An empty change: nothing."""

    change: Change
    reasons: tuple[str, ...] = ()
    """One for each setting, in words: "style neon: rule 2, scene is 'Gaming'"."""


def judge(rules: Sequence[Rule], state: ObsState, *names: str) -> list[Verdict]:
    """Judge each rule for a session, which goes by any of `names`; no names: leave out whom it concerns."""
    return [_verdict(number, rule, state, names) for number, rule in enumerate(rules, 1)]


def wanted(rules: Sequence[Rule], state: ObsState, *names: str) -> Wanted:
    """Return what all rules that hold want together: of two that say the same thing the later one wins."""
    holding = [verdict for verdict in judge(rules, state, *names) if verdict.holds]
    values: dict[str, object] = {}
    reasons: dict[str, str] = {}
    for verdict in holding:
        for name in EFFECTS:
            if (value := getattr(verdict.rule, name)) is not None:
                values[name] = value
                reasons[name] = f"{effect(name, value)}: rule {verdict.number}, {verdict.why}"
        if verdict.rule.style is not None and verdict.rule.prompt is None:
            # The words of an earlier rule would hide this style's own.
            values.pop("prompt", None)
            reasons.pop("prompt", None)
    return Wanted(change=msgspec.convert(values, Change), reasons=tuple(reasons.values()))


def foretold(rules: Sequence[Rule], state: ObsState, *names: str) -> Wanted | None:
    """Return what will be wanted when the preview goes on air; None without studio mode."""
    return wanted(rules, replace(state, scene=state.preview), *names) if state.preview else None


def effect(name: str, value: object) -> str:
    """Return a setting and its value in words."""
    if name == "bypass":
        return "the source is shown" if value else "the source is painted"
    return (
        f"{name.replace('_', ' ')} {value:g}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
    )


def _verdict(number: int, rule: Rule, state: ObsState, names: tuple[str, ...]) -> Verdict:
    if names and rule.session is not None and rule.session not in names:
        return Verdict(number=number, rule=rule, holds=False, why=f"it is for {rule.session!r} only")
    checks = list(_checks(rule, state))
    failed = [why for holds, why in checks if not holds]
    return Verdict(
        number=number, rule=rule, holds=not failed, why=", ".join(failed or [why for _, why in checks])
    )


def _checks(rule: Rule, state: ObsState) -> Iterable[tuple[bool, str]]:
    if rule.scenes:
        holds = state.scene in rule.scenes
        others = "" if holds else f", not {' or '.join(repr(name) for name in rule.scenes)}"
        yield holds, f"scene is {state.scene!r}{others}"
    if rule.source is not None and rule.filter is not None:
        yield _check_filter(rule, state.filters.get((rule.source, rule.filter)))
    if rule.source is not None and rule.shown is not None:
        is_shown = rule.source in state.shown
        yield is_shown == rule.shown, f"{rule.source!r} is {'shown' if is_shown else 'not shown'}"


def _check_filter(rule: Rule, enabled: bool | None) -> tuple[bool, str]:
    if enabled is None:
        return False, f"{rule.source!r} has no filter {rule.filter!r}"
    is_on = "on" if enabled else "off"
    return enabled == (rule.enabled is not False), f"filter {rule.filter!r} of {rule.source!r} is {is_on}"
