"""`limner set` and the real model: what it does not know of a prompt is said with the change."""

from __future__ import annotations

import pytest
from tests.cli.live import live_session
from tests.cli.runner import run_limner
from tests.support.daemon import running_daemon

from limner.worker.pocket_engine import WEIGHTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there"),
]


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
