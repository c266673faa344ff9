"""What a stage must do, and how fast the device could do it: operations and bytes against measured ceilings.

The floor of a stage is the sum, over its products, convolutions and attentions, of the longer of two times:
operations at the rate of one big matrix product, and bytes (each input read once, each output written once)
at the rate of one big copy. What lies between them (norms, activations) counts as nothing: it could be fused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from limner.engine.stream import Stream

STAGES = ("encode", "denoise", "decode")
REPEATS = 20


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Measured on the device."""

    tflops: float
    """Of a big product in the type that the model computes in."""
    fp8_tflops: float | None
    """Of a big product in fp8; None: the device has none."""
    tb_per_s: float
    """Of a big copy, bytes read and written."""


@dataclass
class Counted:
    """Of a stage, for one chunk."""

    flops: int = 0
    bytes: int = 0
    operations: list[tuple[int, int, bool]] = field(default_factory=list)
    """Of each: FLOPs, bytes, whether in fp8."""

    def floor_ms(self, ceilings: Ceilings) -> float:
        """No version of the stage runs much faster."""
        return 1000 * sum(_least_s(*operation, ceilings) for operation in self.operations)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted = Counted()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet not in flop_registry and func._can_decompose():
            with self:
                if (parts := func.decompose(*args, **kwargs)) is not NotImplemented:
                    return parts
        out = func(*args, **kwargs)
        if packet in flop_registry:
            flops = int(flop_registry[packet](*args, **kwargs, out_val=out))
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            size_bytes = sum(t.nbytes for t in tensors)
            in_fp8 = any(t.dtype == torch.float8_e4m3fn for t in tensors)
            self.counted.flops += flops
            self.counted.bytes += size_bytes
            self.counted.operations.append((flops, size_bytes, in_fp8))
        return out


def counted_stages(stream: Stream, frames_TCHW: Tensor, chunks: int) -> dict[str, Counted]:
    """Of one chunk of a stream that replays nothing, after `chunks` others: its window is full then."""
    # Nothing compiled can be looked into; and whoever tries would have it taken for broken.
    with torch.compiler.set_stance("force_eager"):
        for _ in range(chunks):
            stream.push(frames_TCHW)
        with _Counter() as encode:
            noised = stream.encode(frames_TCHW)
        with _Counter() as denoise:
            denoised = stream.denoise(noised)
        with _Counter() as decode:
            stream.decode(denoised)
    return dict(zip(STAGES, (encode.counted, denoise.counted, decode.counted), strict=True))


def measured_ceilings(device: torch.device, dtype: torch.dtype, *, side: int, copy_bytes: int) -> Ceilings:
    """Run one big product a type, and one big copy, on random numbers."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    product_s = median_s(lambda: torch.mm(a, b, out=out), device)
    source = torch.randint(0, 255, (copy_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = median_s(lambda: target.copy_(source), device)
    return Ceilings(
        tflops=2 * side**3 / product_s / 1e12,
        fp8_tflops=_fp8_tflops(a, b, device),
        tb_per_s=2 * copy_bytes / copy_s / 1e12,
    )


def median_s(run: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Median time of a piece of work, by the device's own clock where it has one."""
    for _ in range(3):
        run()
    return sorted(_once_s(run, device) for _ in range(repeats))[repeats // 2]


def _once_s(run: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        began_s = time.perf_counter()
        run()
        return time.perf_counter() - began_s
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


def _fp8_tflops(a: Tensor, b: Tensor, device: torch.device) -> float | None:
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
        return None
    side = len(a)
    a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()  # The second one column by column.
    a_scale = torch.ones(side, 1, device=device)
    b_scale = torch.ones(1, side, device=device)

    def product() -> Tensor:
        return torch._scaled_mm(a8, b8, a_scale, b_scale, out_dtype=torch.bfloat16, use_fast_accum=True)

    return 2 * side**3 / median_s(product, device) / 1e12


def _least_s(flops: int, size_bytes: int, in_fp8: bool, ceilings: Ceilings) -> float:
    tflops = ceilings.fp8_tflops if in_fp8 and ceilings.fp8_tflops else ceilings.tflops
    return max(flops / (tflops * 1e12), size_bytes / (ceilings.tb_per_s * 1e12))
