"""What a crew is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.daemon.rank_keys import Keys
from limner.daemon.rank_options import DecodeOn
from limner.worker.crew.messages import WeightKind


class CrewError(Exception):
    """The ranks cannot be gathered as configured; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class CrewConfig:
    """What a crew is made of."""

    endpoint: str
    """ZeroMQ address of this machine's ranks, in a folder that only the user can enter."""
    engine: str
    """What they paint with."""
    kind: str = "cpu"
    """Of device that rank 0 has, "cpu" or "cuda"; the others have to have the like."""
    dtype: str = "float32"
    """What they compute in, as torch calls it."""
    digest: str = ""
    """Of the denoiser's weights, see digest.py: ranks with other ones are refused. Empty: not compared."""
    is_planned: bool = False
    """What is painted how is said by `Crew.settle`, when the memory of all cards is known."""
    devices: Sequence[str]
    """Of the ranks beside the worker's own, on this machine."""
    threads: int
    """CPU threads of each."""
    decode: DecodeOn = "auto"
    """Which rank decodes."""
    weight_kind: WeightKind = "bf16"
    visible_cards: str | None = None
    """CUDA_VISIBLE_DEVICES as the user set it."""
    listen: str = ""
    """HOST:PORT for ranks on other machines; empty: there are none."""
    keys: Keys | None = None
