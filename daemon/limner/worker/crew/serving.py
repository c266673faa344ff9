"""What a rank does between hello and the end of a generation. Imports torch."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from limner.engine.dit.finish import finisher
from limner.engine.engine import recorders_of, usable_device
from limner.engine.fusing import BACKEND
from limner.engine.pipeline.decoders import Decoders
from limner.engine.pipeline.group import Group, Meeting, join
from limner.engine.pipeline.member import serve
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.pipeline.part_vae import VaeFiles
from limner.engine.pipeline.stage import Stage
from limner.models.paths import loras_dir
from limner.worker.crew.addresses import own_address
from limner.worker.crew.device import in_test
from limner.worker.crew.digest import digest_of
from limner.worker.crew.messages import Welcome
from limner.worker.crew.rank_channel import RankChannel
from limner.worker.loras import lora_path
from limner.worker.model_loading import config_of, weights_of
from limner.worker.model_plan import table_for
from limner.worker.model_source import find_model

Serve = Callable[[RankChannel, Group], None]


@dataclass(frozen=True)
class Server:
    """What serves an engine's pipeline on a device."""

    serve: Serve
    """Carries out the commands of one generation; what it loaded stays for the next one."""
    load: Callable[[range], None]
    """Has these blocks in memory, and no others, between two generations."""
    digest: str = ""
    """Of the weights; empty: nothing to compare."""


def server_for(welcome: Welcome, *, device: str, threads: int) -> Server:
    """Make ready what serves an engine's pipeline on this device.

    ModelsError or EngineError when it cannot.
    """
    torch.set_num_threads(threads)
    engine = welcome.engine
    if ":" in engine and in_test():
        module, function = engine.split(":", 1)
        made = importlib.import_module(module)
        return Server(getattr(made, function), getattr(made, "load", lambda _: None))
    source, where = find_model(engine), usable_device(device)
    if welcome.choice is not None:
        source = dataclasses.replace(source, table=table_for(source.table, welcome.choice))
    config = config_of(source)
    weights = weights_of(source)
    files = BlockFiles(
        config,
        weights,
        device=where,
        dtype=getattr(torch, welcome.dtype),
        on_full=finisher(welcome.weight_kind),
        lora_path=lambda name: lora_path(loras_dir(), name),
    )
    fused_by = BACKEND if config.compile and where.type == "cuda" else None
    recorder_of = recorders_of(where)
    stage = Stage(files.dit(is_first=False), recorder_of, fused_by)
    vae = VaeFiles(config, weights, device=where, dtype=getattr(torch, welcome.dtype))
    decoders = Decoders(vae, recorder_of)

    def load(layers: range) -> None:
        stage.hold(files.block, layers)
        if where.type == "cuda":  # The generation computes on another stream.
            torch.cuda.current_stream(where).synchronize()

    return Server(
        lambda channel, group: serve(channel, group, files, stage, decoders), load, digest_of(source)
    )


def joined(channel: RankChannel, device: str) -> Group:
    """Join the generation. Raises as `join`, OSError when there is no way to rank 0.

    The others reach us where rank 0 is reached from: also on its own machine, for they may be on another one.
    """
    gather = channel.gather
    meeting = Meeting(
        host=gather.host,
        port=gather.port,
        generation=gather.generation,
        rank=gather.rank,
        size=gather.size,
        transport=gather.transport,
        address=own_address(gather.host),
        device=device,
    )
    return join(meeting, is_over=lambda: channel.is_closed)
