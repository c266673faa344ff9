"""The engine over several ranks, as rank 0 has it: a model of which other processes hold most blocks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from limner.engine.blocks import Split
from limner.engine.config import ModelConfig
from limner.engine.dit.finish import Finish
from limner.engine.engine import Engine
from limner.engine.errors import EngineError
from limner.engine.files import LoraShare
from limner.engine.loading import PartProgress, Weights, load_model
from limner.engine.model import Model
from limner.engine.noise import NoiseSource
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.channel import Coordinator
from limner.engine.pipeline.decode_place import DecodePlace
from limner.engine.pipeline.decoders import Decoders
from limner.engine.pipeline.denoiser import PipelinedDenoiser
from limner.engine.pipeline.first import FirstRank
from limner.engine.pipeline.link import Transport, receiving_queue
from limner.engine.pipeline.lora_orders import LoraAsking
from limner.engine.pipeline.loras import ReadyLoras, digest_of
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.pipeline.part_vae import VaeFiles
from limner.engine.pipeline.placing import Placer
from limner.engine.pipeline.ring import PipelineError, Ring
from limner.engine.pipeline.stage import Stage
from limner.engine.pipeline.timing import WorkClock
from limner.engine.pipeline.watch import Watch
from limner.engine.queues import queues_of
from limner.engine.types import NoisedChunk
from limner.engine.wan.lora import Prepared

_POLL_S = 0.01


class PipelineEngine(Engine):
    """An Engine whose streams paint over all ranks. `join` it to them before the first stream paints."""

    def __init__(self, config: ModelConfig, weights: Weights, **options: Any) -> None:
        """As `Engine`; the weights must be files. Only what rank 0 needs is loaded, and no blocks yet."""
        self._ring: Ring | None = None
        self._numbers = itertools.count()
        """Of streams, in all generations."""
        self._first_number = 0
        self._lora_paths: dict[str, Path] = {}
        """By the name of the file."""
        self._lora_files: tuple[c.LoraFile, ...] = ()
        """In force."""
        self._asking = LoraAsking()
        super().__init__(config, weights, **options)
        self.stage = Stage(self._part, self._recorder_of, self._fused_by)
        self.decoders = Decoders(self._vae_files, self._recorder_of)

    @property
    def ring(self) -> Ring:
        """That is in force. EngineError before the first `join`."""
        if self._ring is None:
            raise EngineError("the engine has no ranks yet")
        return self._ring

    def join(
        self,
        channel: Coordinator,
        transport: Transport,
        split: Split,
        *,
        decodes: int = 0,
        is_ended: Callable[[], bool] = bool,
    ) -> Ring:
        """Begin a generation: each rank loads the blocks that it lacks, then streams go on over these ranks.

        `decodes`: the rank that does, at first. A ring that was there before must be closed. Waits for all
        ranks; PipelineError when one is lost meanwhile, or when `is_ended` says that nobody wants this any
        more.
        """
        self.stage.clear()
        for rank in range(1, transport.size):
            first, end = split[rank]
            hold = c.Hold(first=first, end=end, decodes=rank == decodes, loras=self._lora_files)
            channel.tell(rank, c.encoded(hold))
        self.stage.hold(self._files.block, range(*split[0]))
        self._hold_decoder(decodes == 0)
        if self.device.type == "cuda":  # The ring computes on another stream.
            torch.cuda.current_stream(self.device).synchronize()
        lora_faults = _wait_for_all(channel, transport.size, is_ended)
        _, driving, _ = queues_of(self.device)
        arriving = receiving_queue(self.device)
        rank0 = FirstRank(self.stage, channel, transport, driving)
        if lora_faults:
            self._without_loras(rank0, lora_faults)
        place = DecodePlace(self.decoders, rank0, driving, rank=decodes, fused_by=self._fused_by)
        placer = Placer(rank0, place)
        self.watch = Watch(rank0, channel, split, self._files.block, placer)
        self.watch.on_loras_read = self._asking.heard
        self._ring = Ring(
            rank0,
            driving,
            arriving,
            decoding=place,
            on_pause=self.watch.look,
            numbers=self._numbers,
        )
        return self._ring

    def _hold_decoder(self, decodes: bool) -> None:
        """For the next generation. Streams that were over by the end of the last one are forgotten."""
        self.decoders.forget_before(self._first_number)
        self._first_number = next(self._numbers)
        if decodes:
            self.decoders.hold()
        else:
            self.decoders.let_go()

    def note_encoded(self, chunk: NoisedChunk, work: WorkClock) -> None:
        """A chunk was encoded: for the reports of rank 0. For any thread."""
        if (ring := self._ring) is not None:
            ring.first.times.coded("encode", chunk.encoded, work)

    def rebalance(self, split: Split) -> None:
        """Bring the ranks to this split while streams paint; see `Watch` for when it is reached."""
        self.ring.do(lambda: self.watch.mover.want(split)).result()

    def decode_on(self, rank: int) -> None:
        """Bring decoding to this rank while streams paint; see `Watch.placer` for when it is there."""
        self.ring.do(lambda: self.watch.placer.want(rank)).result()

    def leave(self) -> None:
        """End the generation in good order: the other ranks stop. Chunks on their way are lost."""
        if (ring := self._ring) is not None:
            ring.do(lambda: ring.first.tell(c.Stop())).result()
            ring.close()

    def read_loras(self, shares: Sequence[LoraShare]) -> Prepared:
        """As `Engine.read_loras`, on all ranks. Each has to have the files; an error names who lacks one.

        Waits for all ranks; not on the thread that drives.
        """
        self._lora_paths |= {share.path.name: share.path for share in shares}
        files = tuple(
            c.LoraFile(name=share.path.name, sha256=digest_of(share.path), weight=share.weight)
            for share in shares
        )
        ready = self._files.loras.read(files)
        if files:
            self._asking.ask(self.ring, files, self.rank_words)
        return ready

    def use_loras(self, prepared: Prepared) -> None:
        """As `Engine.use_loras`, on all ranks between the same two forwards."""
        assert isinstance(prepared, ReadyLoras), "LoRAs of another engine"
        # Who drives must not wait for the next ring, which waits for it to end.
        ring = self._ring if self._ring is not None and self._ring.is_driven_here else self.ring
        ring.now(lambda: self._switch(ring.first, prepared))

    def rank_words(self, rank: int) -> str:
        """A rank, for people."""
        return f"rank {rank}"

    def _switch(self, first: FirstRank, ready: ReadyLoras) -> None:
        self._lora_files = ready.files  # Before all: who gathers anew meanwhile has to have them.
        first.tell(c.UseLoras(files=ready.files))
        self.stage.use_loras(self._files.loras, ready)
        self._part.revision += 1

    def _without_loras(self, first: FirstRank, faults: Mapping[int, str]) -> None:
        """Some rank of a generation cannot have the LoRAs that are in force: so no rank has."""
        rank = min(faults)
        self.lora_fault = f"{self.rank_words(rank)}: {faults[rank]}"
        self._switch(first, self._files.loras.read(()))

    def _load(self, weights: Weights, on_full: Finish, on_progress: PartProgress | None) -> Model:
        device, dtype = self.device, self.dtype
        self._files = BlockFiles(
            self.config,
            weights,
            device=device,
            dtype=dtype,
            on_full=on_full,
            lora_path=self._lora_paths.__getitem__,
        )
        self._part = self._files.dit(is_first=True)
        model = load_model(
            self.config, weights, device=device, dtype=dtype, on_progress=on_progress, dit=self._part
        )
        # Whichever rank decodes loads that half by itself.
        self._vae_files = VaeFiles(self.config, weights, device=device, dtype=dtype)
        self._vae_files.drop_decoder(model.vae)
        model.vae.prepare()
        return model

    def _denoiser_of(self, noise: NoiseSource, steps: int, latent_size: tuple[int, int]) -> PipelinedDenoiser:
        return PipelinedDenoiser(lambda: self.ring, noise, steps=steps, latent_size=latent_size)


def _wait_for_all(channel: Coordinator, size: int, is_ended: Callable[[], bool]) -> dict[int, str]:
    """Until all ranks have their blocks; why some do not have their LoRAs."""
    missing, lora_faults = set(range(1, size)), {}
    while missing:
        for rank, message in channel.heard():
            report = c.report_in(message)
            if isinstance(report, c.Fault):
                raise PipelineError(f"rank {rank} cannot take part: {report.reason}")
            if isinstance(report, c.Held):
                missing.discard(rank)
                if report.lora_fault:
                    lora_faults[rank] = report.lora_fault
        if lost := missing & channel.lost():
            raise PipelineError(f"rank {min(lost)} was lost while it loaded its blocks")
        if is_ended():
            raise PipelineError("the pipeline was ended while its ranks loaded their blocks")
        time.sleep(_POLL_S)
    return lora_faults
