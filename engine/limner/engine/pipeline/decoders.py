"""The decoders of all streams on the rank that decodes, and what they remember, to and from a packet.

Legend: T latent frames, C latent channels, H×W latent pixels, B bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.engine.parts import Vae
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.link import Buffers, Outgoing
from limner.engine.pipeline.packets import Layout
from limner.engine.pipeline.part_vae import VaeFiles
from limner.engine.queues import Queue
from limner.engine.replayed import RecorderOf, ReplayedVaeStream, no_recorder
from limner.engine.state import StreamState
from limner.engine.vae import SPATIAL_FACTOR

_FACTS_BYTES = 256
"""Room for the facts of a decoder's state, as JSON: a word or two, whether it has begun."""
Sized = tuple[int, int, int]
"""A stream's number, and height and width of its latents."""


@dataclass
class _Decoder:
    size: tuple[int, int]
    stream: ReplayedVaeStream


class Decoders:
    """Where a model's decoder is, or may come to be. For one thread, but for `hold`."""

    def __init__(self, files: VaeFiles, recorder_of: RecorderOf = no_recorder) -> None:
        self.files, self._recorder_of = files, recorder_of
        self._vae: Vae | None = None
        self._streams: dict[int, _Decoder] = {}

    @property
    def is_held(self) -> bool:
        """The weights are in memory."""
        return self._vae is not None

    def hold(self) -> None:
        """Load the weights, unless they are there."""
        if self._vae is not None:
            return
        vae, device = self.files.decoder(), self.files.device
        if device.type == "cuda":  # Decoders are at work on another stream.
            torch.cuda.current_stream(device).synchronize()
        self._vae = vae

    def let_go(self) -> None:
        """Forget all: weights, and what was remembered."""
        self._vae = None
        self.clear()

    def try_out(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Decode nothing at these sizes, so that libraries have prepared themselves. On any thread."""
        assert self._vae is not None, "no decoder is held"
        channels = self.files.channels
        for size in sizes:
            decoder = self._vae.decoder_stream(*(side * SPATIAL_FACTOR for side in size))
            decoder.push(torch.zeros(1, channels, *size, dtype=self.files.dtype, device=self.files.device))

    def push(self, stream: int, latents_TCHW: Tensor, *, begins: bool) -> Tensor:
        """Latents of a stream → uint8 pictures. Another size begins anew, as does what `begins`."""
        height, width = latents_TCHW.shape[-2:]
        known = self._streams.get(stream)
        if known is None or known.size != (height, width):
            known = self._streams[stream] = self._new((height, width))
        elif begins:
            known.stream.reset()
        return known.stream.push(latents_TCHW)

    def reset(self, stream: int) -> None:
        """The next latents are the first."""
        if (known := self._streams.get(stream)) is not None:
            known.stream.reset()

    def close(self, stream: int) -> None:
        """A stream is over."""
        self._streams.pop(stream, None)

    def clear(self) -> None:
        """All streams are over."""
        self._streams.clear()

    def forget_before(self, number: int) -> None:
        """Streams of lower numbers are over."""
        for old in [one for one in self._streams if one < number]:
            del self._streams[old]

    def renumber(self, old: int, new: int) -> bool:
        """A stream goes on under another number; False: it is not known here."""
        if old not in self._streams:
            return False
        self._streams[new] = self._streams.pop(old)
        return True

    def pack(self, streams: Sequence[Sized], packet_B: Tensor) -> None:
        """Write what the decoders of these streams remember."""
        views = iter(moving_layout(self.files, streams).views(packet_B))
        for number, height, width in streams:
            known = self._streams.get(number)
            if known is None or known.size != (height, width):  # Its first chunk could not be decoded.
                known = self._new((height, width))
            _write(known.stream.state(), views)

    def unpack(self, streams: Sequence[Sized], packet_B: Tensor) -> None:
        """Have decoders for these streams, which remember what was written."""
        self.hold()
        views = iter(moving_layout(self.files, streams).views(packet_B))
        for number, height, width in streams:
            self._streams[number] = known = self._new((height, width))
            known.stream.restore(_read(self.files, (height, width), views))

    def _new(self, size: tuple[int, int]) -> _Decoder:
        assert self._vae is not None, "no decoder is held"
        decoder = self._vae.decoder_stream(*(side * SPATIAL_FACTOR for side in size))
        return _Decoder(size, ReplayedVaeStream(decoder, self._recorder_of, "the decoder"))


def hand_over(
    decoders: Decoders, command: c.MoveDecoders, line: Outgoing, buffers: Buffers, queue: Queue
) -> None:
    """Send what was remembered to the rank that decodes from now on, and let go of it."""
    packet_B = buffers.take(command.size_bytes, queue)
    decoders.pack(command.streams, packet_B)
    line.send(packet_B, again=False)
    decoders.let_go()


def moving_layout(files: VaeFiles, streams: Sequence[Sized]) -> Layout:
    """What decoders of these streams remember: the tensors of each, then its facts."""
    facts = ((_FACTS_BYTES,), torch.uint8)
    return Layout(
        tuple(
            part
            for _, height, width in streams
            for part in (*files.remembered((height, width)).values(), facts)
        )
    )


def pack_state(files: VaeFiles, stream: Sized, state: StreamState, packet_B: Tensor) -> None:
    """Write the state of one decoder, as `Decoders.pack`; StateError when it is of another."""
    size = stream[1:]
    tensors = {
        name: state.checked(name, torch.Size(shape), dtype)
        for name, (shape, dtype) in files.remembered(size).items()
    }
    views = iter(moving_layout(files, [stream]).views(packet_B))
    _write(StreamState(tensors=tensors, facts=state.facts), views)


def unpack_state(files: VaeFiles, stream: Sized, packet_B: Tensor) -> StreamState:
    """The state of one decoder that `Decoders.pack` wrote, on the host."""
    size = stream[1:]
    views = iter(moving_layout(files, [stream]).views(packet_B.cpu()))
    return _read(files, size, views)


def _write(state: StreamState, views: Iterator[Tensor]) -> None:
    for tensor in state.tensors.values():
        next(views).copy_(tensor)
    next(views).copy_(_facts_of(state))


def _read(files: VaeFiles, size: tuple[int, int], views: Iterator[Tensor]) -> StreamState:
    tensors = {name: next(views) for name in files.remembered(size)}
    return StreamState(tensors=tensors, facts=_facts_in(next(views)))


def _facts_of(state: StreamState) -> Tensor:
    text = json.dumps(dict(state.facts)).encode()
    assert len(text) <= _FACTS_BYTES, f"a decoder has more to say than {_FACTS_BYTES} bytes: {text!r}"
    return torch.frombuffer(bytearray(text.ljust(_FACTS_BYTES)), dtype=torch.uint8)


def _facts_in(facts_B: Tensor) -> dict[str, object]:
    facts: dict[str, object] = json.loads(bytes(facts_B.tolist()))
    return facts
