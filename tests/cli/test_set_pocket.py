"""`limner set` and the real model: what it does not know of a prompt is said with the change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.clips import write_clip
from tests.cli.live import live_session
from tests.cli.runner import run_limner
from tests.support.daemon import running_daemon

from limner.worker.model_source import WEIGHTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there"),
]


def test_a_demo_says_them_too(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(160, 96), frames=9)
    with running_daemon("pocket", threads=1) as daemon:
        daemon.wait_ready()
        options = ["--no-realtime", "--prompt", "oil florbs"]
        result = run_limner(daemon.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4", *options)
    assert result.code == 0, result.err
    assert "note: words that the model does not know: florbs\n" in result.err
    assert "painted 9 of 9 frames" in result.err


def test_words_that_the_model_does_not_know_are_said_and_the_rest_is_painted() -> None:
    with running_daemon("pocket", threads=1) as daemon:
        daemon.wait_ready()
        with live_session(daemon, "Webcam"):

            def said(*options: str) -> str:
                result = run_limner(daemon.runtime_dir, "set", "--session", "Webcam", *options)
                assert result.code == 0, result.err
                assert "in the picture of Webcam after" in result.out
                return result.out

            assert "note: words that the model does not know: florbs" in said("--prompt", "oil florbs")
            # What was unknown before is not said again of another prompt.
            assert "note:" not in said("--prompt", "oil painting")
            assert "note:" not in said("--strength", "0.4")
            assert "zwiebel" in said("--prompt", "🎨 zwiebel, neon").split("note: ")[1]
            assert "the prompt is empty" in said("--prompt", "")
            assert "note:" not in said("--style", "noir")
