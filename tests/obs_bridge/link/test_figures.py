"""The file in which a filter says how it does."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.obs_bridge.fake_daemon import FakeDaemon
from tests.obs_bridge.link.link_tool import WAIT_S, Heard, Start, open_session


def test_figures_are_written_whole(start: Start, folder: Path, tmp_path: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start("", str(tmp_path))
        open_session(tool, heard)
        file = tmp_path / "Camera.json"
        deadline = time.monotonic() + WAIT_S
        while not file.exists() or json.loads(file.read_text(encoding="utf-8"))["state"] != "live":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        tool.close()
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures["source"] == "Camera"
    assert figures["model"] == "invert"
    assert {"painted_shown", "work_us_p99", "latency_ms_p95", "delay_ms"} <= set(figures)
    assert [path.name for path in tmp_path.iterdir()] == ["Camera.json"]
