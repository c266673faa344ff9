"""A style's LoRA over two processes, through a real daemon: in force on both, and kept when one is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.distributed.test_crew_daemon import BLOCKS, TWO, Live
from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Change, Lora, Status
from limner.worker.model_source import WEIGHTS

pytestmark = pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there")
SETTLED_FRAMES = 40


class Looking(Live):
    """A session whose pictures are looked at."""

    sentence = ""
    """What the last status said."""
    picture = np.zeros(0)

    def frame(self) -> bool:
        self.session.send_frame(self._picture)
        event = self.session.receive(0.03)
        if isinstance(event, Status):
            self.sentence = event.sentence
        if not isinstance(event, PaintedFrame):
            return False
        self.picture = np.frombuffer(event.pixels, np.uint8).astype(np.float64)
        event.release()
        return True

    def look(self) -> np.ndarray:
        """What is painted when it has been for a while."""
        self.paints(SETTLED_FRAMES)
        return self.picture

    def until_loaded(self) -> None:
        """Feed it until it says no more that a LoRA is being loaded."""

        def loaded() -> bool:
            self.frame()
            return bool(self.sentence) and "loading the LoRA" not in self.sentence

        wait_for(loaded, "the LoRA", log=self.daemon.log)


def session_of(daemon: RunningDaemon, *loras: Lora) -> ClientSession:
    # Not adapting: pictures of one size are compared, however fast this machine is.
    change = Change(strength=1.0, seed=1, adapt=False, lora=list(loras))
    return ClientSession(hello_for("clip", "demo", (320, 192), 30.0, change), daemon.runtime_dir)


def save_lora(path: Path) -> None:
    """For all of pocket's blocks, so strong that nobody can miss it."""
    torch.manual_seed(5)
    tensors = {}
    for block in range(BLOCKS):
        tensors[f"blocks.{block}.ffn.0.lora_A.weight"] = torch.randn(4, 256) * 0.1
        tensors[f"blocks.{block}.ffn.0.lora_B.weight"] = torch.randn(1024, 4) * 0.5
    save_file(tensors, path)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


@pytest.mark.slow
def test_a_lora_is_in_force_on_all_ranks_and_stays_when_one_is_lost(tmp_path: Path) -> None:
    save_lora(tmp_path / "bold.safetensors")
    with running_daemon("pocket", threads=2, options=[TWO], LIMNER_LORAS_DIR=str(tmp_path)) as daemon:
        daemon.wait_ready()
        with session_of(daemon) as session:
            live = Looking(session, daemon)
            live.paints()
            live.until_ranks(2)
            plain = live.look()
        with session_of(daemon, Lora(name="bold")) as session:
            live = Looking(session, daemon)
            live.paints()
            live.until_loaded()
            bold = live.look()
            assert "LoRA" not in live.sentence
            assert apart(bold, plain) > 4.0
            lost = live.until_ranks(2)[1].pid
            os.kill(lost, signal.SIGKILL)
            live.until_without(lost)
            assert apart(live.look(), bold) < apart(bold, plain) / 4
            live.until_ranks(2)
            assert apart(live.look(), bold) < apart(bold, plain) / 4
            assert "LoRA" not in live.sentence
