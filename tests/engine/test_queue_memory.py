"""What a stage remembers is memory of the queue that it works on.

torch gives freed memory to the next that asks on the same CUDA stream, at once: what another stream has still
to do with it would then be done to somebody else's numbers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.benchmarks.gpu_models import WORD, config_of, random_model
from tests.benchmarks.gpu_rows import Way
from tests.engine.streaming import clip
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from limner.engine import stream as stream_module
from limner.engine.denoiser import Denoiser
from limner.engine.engine import Engine
from limner.engine.stream import Stream
from limner.engine.types import StreamSettings

CPU = torch.device("cpu")
HEIGHT, WIDTH = 32, 48
SETTINGS = StreamSettings(prompt=WORD, strength=0.8, steps=2)


class Births(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Notes on which queue each storage was made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.queue = "caller"
        self.of: dict[int, str] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        known = {_storage(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and _storage(leaf) not in known:
                self.of[_storage(leaf)] = self.queue
        return out


class NamedQueue:
    """Stands for a CUDA stream."""

    def __init__(self, births: Births, name: str) -> None:
        self._births, self._name = births, name

    @contextmanager
    def joined(self) -> Iterator[None]:
        before, self._births.queue = self._births.queue, self._name
        yield
        self._births.queue = before


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def remembered(stage: object) -> list[Tensor]:
    """All tensors that a stage holds, but the model's."""
    found, seen, todo = list[Tensor](), set[int](), [stage]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, nn.Module | type) or callable(one):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            found.append(one)
        elif type(one).__module__.split(".")[0] in ("limner", "builtins", "collections"):
            todo += gc.get_referents(one)
    return found


@pytest.fixture(params=["wan", "taehv"])
def opened(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Stream, Births]]:
    config = config_of(Way(model="tiny", vae=request.param))
    engine = Engine(config, random_model(config, CPU, torch.float32), device=CPU, dtype=torch.float32)
    births = Births()
    queues = [NamedQueue(births, name) for name in ("encoding", "denoising", "decoding")]
    monkeypatch.setattr(stream_module, "queues_of", lambda _: queues)
    with births:
        yield engine.open_stream(SETTINGS, HEIGHT, WIDTH), births
    engine.close()


def check(stream: Stream, births: Births) -> None:
    denoiser = stream.denoiser
    assert isinstance(denoiser, Denoiser)
    # Chunks on their way are passed from queue to queue: the lanes note that.
    stages = {"encoding": stream._encode, "denoising": denoiser._window, "decoding": stream._decode}
    for queue, stage in stages.items():
        tensors = [t for t in remembered(stage) if t.numel() > 64 and _storage(t) in births.of]
        assert tensors, queue
        assert {births.of[_storage(tensor)] for tensor in tensors} <= {queue}, queue


def push(stream: Stream, births: Births, chunk: Tensor) -> None:
    """As the lanes do it."""
    with NamedQueue(births, "encoding").joined():
        noised = stream.encode(chunk)
    with NamedQueue(births, "denoising").joined():
        denoised = stream.denoise(noised)
    with NamedQueue(births, "decoding").joined():
        stream.decode(denoised)


def test_from_the_start(opened: tuple[Stream, Births]) -> None:
    check(*opened)


def test_after_chunks_a_new_size_a_reset_and_another_state(opened: tuple[Stream, Births]) -> None:
    stream, births = opened
    chunks = clip(8, size=(HEIGHT, WIDTH))
    for chunk in chunks[:4]:
        push(stream, births, chunk)
    kept = stream.state()
    stream.update(StreamSettings(prompt=WORD, strength=0.8, steps=3, size=(32, 32)))
    for chunk in chunks[4:]:
        push(stream, births, chunk)
    check(stream, births)
    stream.flush()
    stream.update(SETTINGS)
    with NamedQueue(births, "denoising").joined():  # As lanes do what is done to a stream alone.
        stream.reset()
    check(stream, births)
    stream.restore(kept)
    for tensor in kept.tensors.values():  # A state is on the host; here some of it need not be copied.
        births.of.pop(_storage(tensor), None)
    check(stream, births)
