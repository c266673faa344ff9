"""Rules: what a state of OBS changes. Only what one looks like; obs_bridge decides which one holds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from limner.daemon import protocol as p

ObsNames = p.ObsName | Annotated[list[p.ObsName], Meta(min_length=1, max_length=100)]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """While all its conditions hold, the session (every filter's, if none is named) gets the rest."""

    # Conditions.
    scene: ObsNames | None = None
    """The programme's scene is this one, or one of these."""
    source: p.ObsName | None = None
    """The source that `filter` or `shown` speaks of."""
    filter: p.ObsName | None = None
    """Name of a filter on `source`."""
    enabled: bool | None = None
    """The filter is switched on (so it is when nothing is said), or off."""
    shown: bool | None = None
    """`source` is visible in the programme's scene, or is not."""
    # Whom it concerns.
    session: p.Name | None = None
    """The name of a session: of the source that has the Limner filter."""
    # What they get.
    style: p.Style | None = None
    prompt: p.Prompt | None = None
    strength: p.Strength | None = None
    steps: p.Steps | None = None
    transition_ms: p.TransitionMs | None = None
    bypass: p.Bypass | None = None

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise ValueError(fault)

    @property
    def scenes(self) -> list[str]:
        """The scenes that it speaks of; none: any."""
        if self.scene is None:
            return []
        return [self.scene] if isinstance(self.scene, str) else self.scene

    @property
    def change(self) -> p.Change:
        """What it sets."""
        return p.Change(**{name: getattr(self, name) for name in EFFECTS})


EFFECTS = ("style", "prompt", "strength", "steps", "transition_ms", "bypass")


def _fault(rule: Rule) -> str:
    """Return what makes no sense in a rule, if anything does."""
    no_source = rule.source is None
    faults = {
        f"the rule changes nothing: give it one of {', '.join(EFFECTS)}": all(
            getattr(rule, name) is None for name in EFFECTS
        ),
        f"filter is {rule.filter!r}, but of which source? Add source": rule.filter is not None and no_source,
        "enabled is there, but no filter: add source and filter": rule.enabled is not None
        and rule.filter is None,
        "shown is there, but no source: add source": rule.shown is not None and no_source,
        f"source is {rule.source!r}: add a filter of it, or shown = true": not no_source
        and rule.filter is None
        and rule.shown is None,
        "the rule has no condition: give it scene, or source with filter or shown": no_source
        and not rule.scenes,
    }
    return next((fault for fault, holds in faults.items() if holds), "")
