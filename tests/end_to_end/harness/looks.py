"""Telling styles apart on a moving picture, by what moves least: the statistics of its colours."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.remote import Picture

SMALL = 160
Look = npt.NDArray[np.float64]
BLACK = "black"


def look(picture: Picture) -> Look:
    """Return mean and spread of red, green, blue, grey and saturation, and the mean edge."""
    pixels = picture.reshape(-1, 3).astype(np.float64)
    grey = picture.astype(np.float64).mean(2)
    columns = np.column_stack([pixels, pixels.mean(1), pixels.max(1) - pixels.min(1)])
    edges = np.hypot(*np.gradient(grey)).mean()
    return np.concatenate([columns.mean(0), columns.std(0), [4 * edges]])


def steady_look(obs: Obs, camera: str, count: int = 8) -> Look:
    """Return the look as it is now, over a moment."""
    mean: Look = np.mean([look(obs.screenshot(camera, SMALL)) for _ in range(count)], axis=0)
    return mean


@dataclass(frozen=True)
class Sight:
    """What a screenshot at a moment (time.monotonic) looked like: a name of the references, or black."""

    at_s: float
    name: str


class Eye:
    """Looks at a camera's picture and names what it sees."""

    def __init__(self, obs: Obs, camera: str, references: dict[str, Look]) -> None:
        self._obs, self._camera, self._references = obs, camera, references

    def name(self, picture: Picture) -> str:
        if picture.max() < 20:
            return BLACK
        seen = look(picture)
        return min(self._references, key=lambda known: float(np.linalg.norm(seen - self._references[known])))

    def see(self) -> Sight:
        picture = self._obs.screenshot(self._camera, SMALL)
        return Sight(at_s=time.monotonic(), name=self.name(picture))

    def watch_until(self, wanted: str, timeout_s: float = 30.0) -> list[Sight]:
        """Return all sights until `wanted` was seen three times in a row; fails when it does not come."""
        sights: list[Sight] = []
        deadline = time.monotonic() + timeout_s
        while [sight.name for sight in sights[-3:]] != [wanted] * 3:
            assert time.monotonic() < deadline, [sight.name for sight in sights]
            sights.append(self.see())
        return sights
