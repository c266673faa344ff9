"""The filter in a real OBS without any daemon: it loads, and the picture is the source's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import FILTER_NAME, Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for

pytestmark = pytest.mark.obs


def test_obs_loads_the_filter_and_passes_the_picture_through(obs_build: Build, bikes: Path) -> None:
    quiet = {"start_daemon": False}
    with Obs(obs_build, (Camera(name="Cam", raw_file=bikes, limner=quiet),)) as obs:
        filters = obs.request("GetSourceFilterList", sourceName="Cam")["filters"]
        assert [(f["filterName"], f["filterKind"]) for f in filters] == [(FILTER_NAME, "limner_filter")]
        wait_for("a picture", lambda: float(np.std(obs.screenshot("Cam", 160))) > 10, 10)
        before = obs.stats()
        wait_for("thirty more frames", lambda: obs.stats().rendered >= before.rendered + 30, 10)
        assert not obs.leftovers()
