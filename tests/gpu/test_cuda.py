"""What is about CUDA itself: nobody waits, pages are locked, memory is as planned."""

from __future__ import annotations

import gc
import logging
import mmap
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.benchmarks.gpu_aims import SQUARE
from tests.benchmarks.gpu_child import peak_bytes
from tests.benchmarks.gpu_measure import Rig
from tests.benchmarks.gpu_models import PROMPT, WORD, config_of, engine_of, random_model
from tests.benchmarks.gpu_plan import predicted_bytes
from tests.benchmarks.gpu_rows import Row, Way
from tests.engine.streaming import clip
from tests.gpu.device import DEVICE, ON_CUDA
from torch import Tensor

from limner.engine.cuda_graphs import CudaRecorder
from limner.engine.dit.quantised import fp8_form, product, quantised
from limner.engine.engine import Engine
from limner.engine.errors import FrameError
from limner.engine.frames import Uploader
from limner.engine.graphs import Replayer
from limner.engine.page_lock import PageLock
from limner.engine.queues import cuda_stream
from limner.engine.stream import Stream
from limner.engine.types import StreamSettings
from limner.models.plan_bytes import CUDA_BYTES

pytestmark = ON_CUDA
HEIGHT, WIDTH = 64, 96
SHARE_OF_PLAN = 0.05


@pytest.fixture
def sync_is_an_error() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("vae", ["wan", "taehv"])
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.usefixtures("sync_is_an_error")
@pytest.mark.parametrize("graphs", [True, False])
def test_nobody_waits_in_a_steady_stream(vae: str, steps: int, graphs: bool) -> None:
    """Encode, denoise, decode and the way down; the source's cuts included."""
    config = config_of(Way(model="tiny", vae="wan" if vae == "wan" else "taehv"))
    engine = Engine(config, random_model(config, DEVICE, torch.bfloat16), device=DEVICE)
    settings = StreamSettings(prompt=WORD, strength=0.8, steps=steps)
    stream = engine.open_stream(settings, HEIGHT, WIDTH, graphs=graphs)
    uploader, chunks = Uploader(DEVICE), clip(24, size=(HEIGHT, WIDTH))
    uploaded = [
        uploader.push([*torch.nn.functional.pad(chunk.permute(0, 2, 3, 1), (0, 1)).contiguous()])
        for chunk in chunks
    ]
    for frames in uploaded[:14]:
        stream.push(frames)
    torch.cuda.set_sync_debug_mode("error")
    paintings = [
        stream.painting(stream.denoise(stream.encode(frames)), download=True) for frames in uploaded[14:]
    ]
    torch.cuda.set_sync_debug_mode("default")
    done = [painting.painted() for painting in paintings if painting is not None]
    assert len(done) == 10
    for painted in done:
        assert painted.rgba_THW4 is not None
        assert torch.equal(painted.rgba_THW4[..., :3], painted.frames_TCHW.permute(0, 2, 3, 1).cpu())


def test_a_graph_is_recorded_and_replayed(caplog: pytest.LogCaptureFixture) -> None:
    total = torch.zeros(4, device=DEVICE)

    def add(x: Tensor) -> Tensor:
        total.add_(x)
        return total * 2

    replayer = Replayer(CudaRecorder(DEVICE, "adding"), "adding")
    with caplog.at_level(logging.WARNING, "limner.engine"):
        results = [replayer.run("add", add, [torch.full((4,), 1.0 * i, device=DEVICE)]) for i in range(5)]
    assert [float(result[0]) for result in results] == [0, 2, 6, 12, 20]
    assert replayer.count == 1
    assert not caplog.messages


def test_what_waits_is_not_recorded_but_done(caplog: pytest.LogCaptureFixture) -> None:
    def waits(x: Tensor) -> Tensor:
        return x * float(x.sum())

    replayer = Replayer(CudaRecorder(DEVICE, "waiting"), "the waiting stage")
    with caplog.at_level(logging.WARNING, "limner.engine"):
        results = [replayer.run("wait", waits, [torch.ones(2, device=DEVICE)]) for _ in range(3)]
    assert all(float(result[0]) == 2 for result in results)
    assert len(caplog.messages) == 1
    # And the device is as good as before: what crosses streams can be had again.
    assert float(torch.ones(3, device=DEVICE).sum()) == 3
    other = cuda_stream(DEVICE, "another")
    before = torch.cuda.memory_reserved(DEVICE)
    for _ in range(64):
        crossing = torch.ones(2**22, device=DEVICE)
        crossing.record_stream(other)
        del crossing
        torch.cuda.synchronize(DEVICE)
    assert torch.cuda.memory_reserved(DEVICE) - before <= 4 * 2**24


def test_graphs_are_recorded_again_when_all_were_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """A pool of memory whose graphs are all gone takes no new ones."""
    replayer, weight = Replayer(CudaRecorder(DEVICE, "again"), "again"), torch.eye(64, device=DEVICE)
    with caplog.at_level(logging.WARNING, "limner.engine"):
        for turn in range(3):
            x = torch.full((64, 64), 1.0 + turn, device=DEVICE)
            for _ in range(3):
                assert torch.equal(replayer.run("product", torch.mm, [x, weight]), x)
            replayer.clear()
            if turn == 1:
                torch.cuda.empty_cache()
    assert not caplog.messages


def test_streams_come_and_go_and_their_graphs_with_them(caplog: pytest.LogCaptureFixture) -> None:
    """More of them than torch has CUDA streams; one that stays paints on as before."""
    config = config_of(Way(model="tiny"))
    engine = Engine(config, random_model(config, DEVICE, torch.bfloat16), device=DEVICE)
    settings, chunks = StreamSettings(prompt=WORD, strength=0.8), clip(12, size=(HEIGHT, WIDTH))
    with caplog.at_level(logging.WARNING, "limner.engine"):
        stays, alone = (engine.open_stream(settings, HEIGHT, WIDTH) for _ in range(2))
        for chunk in chunks[:8]:
            stays.push(chunk)
        for _ in range(12):
            goes = engine.open_stream(settings, HEIGHT, WIDTH)
            for chunk in chunks[:8]:
                goes.push(chunk)
            del goes
            engine.free_memory()
        later = [stays.push(chunk) for chunk in chunks[8:]]
    assert not caplog.messages
    wanted = [alone.push(chunk) for chunk in chunks][8:]
    for painted, other in zip(later, wanted, strict=True):
        assert painted is not None and other is not None
        assert torch.equal(painted.frames_TCHW, other.frames_TCHW)


def test_shared_memory_is_locked_and_let_go() -> None:
    shared = mmap.mmap(-1, 2**20)
    lock = PageLock(memoryview(shared), DEVICE)
    assert lock.is_locked
    frame = torch.from_numpy(np.frombuffer(shared, np.uint8))
    frame.random_()
    assert frame.is_pinned()
    assert torch.equal(frame.to(DEVICE, non_blocking=True).cpu(), frame)
    lock.close()
    lock.close()
    again = PageLock(memoryview(shared), DEVICE)
    assert again.is_locked
    again.close()


def test_locking_twice_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    shared = mmap.mmap(-1, 2**16)
    first = PageLock(memoryview(shared), DEVICE)
    with caplog.at_level(logging.WARNING, "limner.engine"):
        second = PageLock(memoryview(shared), DEVICE)
    assert not second.is_locked
    assert ["cannot lock" in line for line in caplog.messages] == [True]
    assert float(torch.ones(3, device=DEVICE).sum()) == 3
    second.close()
    first.close()


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9), reason="needs fp8"
)
def test_fp8_is_close() -> None:
    generator = torch.Generator(DEVICE).manual_seed(0)
    x = torch.randn(256, 512, device=DEVICE, dtype=torch.bfloat16, generator=generator)
    weight = torch.randn(768, 512, device=DEVICE, dtype=torch.bfloat16, generator=generator) / 512**0.5
    bias = torch.randn(768, device=DEVICE, dtype=torch.bfloat16, generator=generator)
    wanted = torch.nn.functional.linear(x.float(), weight.float(), bias.float())
    small, scale = quantised(weight, "fp8")
    assert (
        float((product(x, small, scale, bias, fp8_form(x.device)).float() - wanted).norm() / wanted.norm())
        < 0.04
    )


@pytest.mark.parametrize("steps", [1, 2])
def test_memory_is_as_planned(steps: int) -> None:
    """1.3B at 512×512 with Wan's autoencoder: the whole way, peak of everything on the card."""
    row = Row(way=Way(model="wan-1.3b"), size=SQUARE, steps=steps)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("needs 12 GiB of free memory")
    if (peak_bytes(DEVICE) or 0) > 2 * CUDA_BYTES:
        pytest.skip("other programs use the card, so its peak is not ours")
    engine = engine_of(row.way, DEVICE, torch.bfloat16)
    with Rig(engine, row.size, graphs=True) as rig:
        stream = rig.open(StreamSettings(prompt=PROMPT, strength=0.8, steps=steps))
        rig.run(stream, 16, fps=None, most_s=60)
    measured, predicted = peak_bytes(DEVICE), predicted_bytes(row)
    assert measured is not None and predicted is not None
    assert abs(measured - predicted) <= SHARE_OF_PLAN * predicted


def test_wrong_frames_cost_no_other_stream() -> None:
    config = config_of(Way(model="tiny"))
    engine = Engine(config, random_model(config, DEVICE, torch.bfloat16), device=DEVICE)
    settings = StreamSettings(prompt=WORD, strength=0.8)
    streams: list[Stream] = [engine.open_stream(settings, HEIGHT, WIDTH) for _ in range(2)]
    chunks = clip(6, size=(HEIGHT, WIDTH))
    with pytest.raises(FrameError):
        streams[0].push(chunks[0].to(DEVICE)[:, :, :8])
    assert all(streams[1].push(chunk) is not None for chunk in chunks)
