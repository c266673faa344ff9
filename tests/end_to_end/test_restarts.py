"""OBS and the daemon come and go, and OBS's server changes: always connected and painting in the end.

tests/benchmarks/obs_restarts.py does it ten times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.end_to_end.harness import scenes
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.restarts import PATIENCE_S, ROUNDS, RULES, Pair
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import private_runtime_dir

pytestmark = [pytest.mark.obs, pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def pair(build: Build, raw_file: Path) -> Iterator[Pair]:
    """OBS and daemon in step; at the end, both are closed as a person would."""
    camera = Camera(name="Cam", raw_file=raw_file, limner={"start_daemon": False, "style": "sepia"})
    with private_runtime_dir() as folder:
        obs = Obs(build, (camera,), runtime_dir=folder / "run")
        both = Pair(obs, camera, scenes.start_ruled(obs, RULES, engine="echo"))
        with obs:
            both.in_step()
            yield both
        assert both.daemon.stop() == 0


def test_each_restarted_in_any_order(obs_build: Build, street: Path) -> None:
    with pair(obs_build, street) as both:
        for order in ROUNDS:
            both.restart(order)
        scenes.rules_file(both.obs).write_text("")
        wait_for(
            "what was before the rules",
            lambda: scenes.settings_of(both.daemon, "Cam").style == "sepia",
            PATIENCE_S,
            instead=both.what_is,
        )


def test_another_password_a_wrong_one_and_no_server(obs_build: Build, street: Path) -> None:
    with pair(obs_build, street) as both:
        obs = both.obs
        assert obs.stop()
        obs.reconfigure(password="another one")
        obs.start()
        both.in_step()

        # The user's own settings count, and are wrong.
        own = scenes.rules_file(obs).parent / "obs.toml"
        own.write_text(f'port = {obs.websocket.port}\npassword = "guessed"\n')
        assert obs.stop()
        obs.start()
        both.control_waits("OBS refuses the password of", str(own), "WebSocket Server Settings")
        obs.wait_painted("Cam")
        own.write_text(f"port = {obs.websocket.port}\npassword = {json.dumps(obs.websocket.password)}\n")
        both.in_step()
        own.unlink()

        assert obs.stop()
        obs.reconfigure(serves=False)
        obs.start()
        both.control_waits("OBS's WebSocket server is off", 'tick "Enable WebSocket server"')
        obs.wait_painted("Cam")
        assert obs.stop()
        obs.reconfigure(serves=True)
        obs.start()
        both.in_step()
