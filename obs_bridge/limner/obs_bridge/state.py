"""What the rules know of OBS at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from limner.daemon.protocol import ObsFilter, ObsInfo
from limner.daemon.rulebook import Rule

FilterKey = tuple[str, str]
"""Source and filter, by name."""


@dataclass(frozen=True, kw_only=True)
class ObsState:
    """One moment of OBS, as far as rules speak of it."""

    scene: str = ""
    """On air: the programme's scene."""
    preview: str = ""
    """The scene in studio mode's preview; empty: studio mode is off."""
    filters: Mapping[FilterKey, bool] = field(default_factory=dict)
    """Whether a filter is switched on; what does not exist is not there."""
    shown: frozenset[str] = frozenset()
    """Sources that are visible in the programme's scene, in its groups and in the scenes in it."""

    @classmethod
    def of(cls, info: ObsInfo) -> ObsState:
        """Return the state that the controller reported."""
        return cls(
            scene=info.scene,
            preview=info.preview,
            filters={(one.source, one.filter): one.enabled for one in info.filters},
            shown=frozenset(info.shown),
        )

    def report(self) -> dict[str, object]:
        """Return the fields of an ObsInfo that say this."""
        return {
            "scene": self.scene,
            "preview": self.preview,
            "filters": [ObsFilter(source=s, filter=f, enabled=on) for (s, f), on in self.filters.items()],
            "shown": sorted(self.shown),
        }


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What of OBS a set of rules has to know."""

    filters: frozenset[FilterKey] = frozenset()
    sources: frozenset[str] = frozenset()
    """Whose visibility counts."""

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Needs:
        """Collect it from the rules."""
        rules = list(rules)
        return cls(
            filters=frozenset((r.source, r.filter) for r in rules if r.source and r.filter),
            sources=frozenset(r.source for r in rules if r.source and r.shown is not None),
        )
