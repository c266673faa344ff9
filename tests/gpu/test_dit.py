"""The transformer on CUDA: the CPU's numbers, by any kernel and with any weights, and nobody waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.engine.wan.dits import config_of, error, ours_of, prompts
from torch import Tensor

from limner.engine.cuda_graphs import cuda_recorder
from limner.engine.dit.backends import AttentionKernel
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.quantised import Form, WeightKind, fp8_form, fp8_product, quantised, works_on
from limner.engine.errors import EngineError
from limner.engine.graphs import Graph

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CHUNKS, ROWS = 12, 2
SIZE = (16, 12)
CONFIG = config_of(heads=2, layers=4)


def has_fp8() -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9)


needs_fp8 = pytest.mark.skipif(not has_fp8(), reason="this card has no fp8")


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Float32 as it is, without TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def model_of(device: str, dtype: torch.dtype = torch.float32, kind: WeightKind = "bf16") -> CausalDiT:
    model = ours_of(CONFIG).to(device, dtype)
    model.quantise(kind)
    model.pack()
    return model


def cache_of(model: CausalDiT, rows: int) -> KVCache:
    device = model.patch_embedding.weight.device
    return KVCache(model.config, rows=rows, grid=model.grid(*SIZE), device=device, dtype=model.dtype)


@torch.inference_mode()
def streamed(model: CausalDiT) -> Tensor:
    """Velocities of a stream beyond its window, two rows, one of them begun anew on the way."""
    torch.manual_seed(5)
    device = model.patch_embedding.weight.device
    x = torch.randn(CHUNKS, ROWS, 1, 16, *SIZE).to(device, model.dtype)
    told = torch.rand(CHUNKS, ROWS, 1).to(device)
    text = model.text_context(prompts(1, length=64, words=9).to(device, model.dtype))
    cache = cache_of(model, rows=ROWS)
    out = []
    for chunk in range(CHUNKS):
        if chunk == 8:
            cache.reset_row(0)
        cache.begin(rows=range(ROWS), frames=1)
        out.append(model.denoise(x[chunk], told[chunk], text, cache))
        cache.commit()
    return torch.stack(out).cpu()


def test_it_is_the_cpus() -> None:
    assert error(streamed(model_of("cuda")), streamed(model_of("cpu"))) < 1e-5


@pytest.mark.parametrize("attention", ["auto", "cudnn", "flash", "efficient", "math"])
def test_in_bfloat16_by_any_kernel(attention: AttentionKernel) -> None:
    # The same weights, which bfloat16 can hold, in float32.
    expected = streamed(ours_of(CONFIG).bfloat16().float())
    model = model_of("cuda", torch.bfloat16)
    model.attention = attention
    assert error(streamed(model), expected) < 1e-2


@pytest.mark.parametrize(("kind", "limit"), [("int8", 0.02), pytest.param("fp8", 0.06, marks=needs_fp8)])
def test_small_weights_are_close(kind: WeightKind, limit: float) -> None:
    expected = streamed(model_of("cpu"))
    assert error(streamed(model_of("cuda", torch.bfloat16, kind)), expected) < limit


@needs_fp8
@pytest.mark.parametrize("rows", [1, 7, 512, 1000, 1560])
@pytest.mark.parametrize("form", ["rows", "whole"])
def test_fp8_products_are_what_they_are_emulated_to_be(form: Form, rows: int) -> None:
    device = torch.device("cuda")
    if not works_on(device, form):
        pytest.skip(f"this card has no {form} product")
    torch.manual_seed(0)
    x, bias = torch.randn(rows, 256, device=device).bfloat16(), torch.randn(384, device=device).bfloat16()
    small, scale = quantised(torch.randn(384, 256, device=device), "fp8")
    expected = fp8_product(x.float(), small, scale, bias.float(), "emulated")
    assert error(fp8_product(x, small, scale, bias, form), expected) < 5e-3


@needs_fp8
def test_the_device_multiplies_fp8_itself() -> None:
    assert fp8_form(torch.device("cuda", torch.cuda.current_device())) != "emulated"


def test_fp8_is_refused_where_the_card_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 6))
    with pytest.raises(EngineError, match=r"8\.9 or more"):
        model_of("cuda", torch.bfloat16, "fp8")


@pytest.fixture
def sync_errors() -> Iterator[None]:
    """Undo what the test does to the debug mode."""
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("sync_errors")
@torch.inference_mode()
@pytest.mark.parametrize("kind", ["bf16", "int8", pytest.param("fp8", marks=needs_fp8)])
def test_one_graph_serves_a_full_window_and_nobody_waits(kind: WeightKind) -> None:
    model = model_of("cuda", torch.bfloat16, kind)
    device = model.patch_embedding.weight.device
    torch.manual_seed(5)
    x, told = torch.randn(CHUNKS, 1, 1, 16, *SIZE).to(device, model.dtype), torch.full((1, 1), 0.5).to(device)
    text = model.text_context(prompts(1, length=64, words=9).to(device, model.dtype))
    plain, replayed = (cache_of(model, rows=1) for _ in range(2))
    graph: Graph | None = None
    held, out, errors = x[0].clone(), x[0], []
    for chunk in x:
        held.copy_(chunk)
        for cache in (plain, replayed):
            cache.begin(rows=range(1), frames=1)
        expected = model.denoise(chunk, told, text, plain)
        if replayed.steady_phase is None:
            out = model.denoise(held, told, text, replayed)
        else:
            if graph is None:
                graph, out = cuda_recorder(device, "a forward").record(
                    lambda: model.denoise(held, told, text, replayed)
                )
                torch.cuda.set_sync_debug_mode("error")
            graph.replay()
        errors.append((out.float() - expected.float()).norm() / expected.float().norm())
        for cache in (plain, replayed):
            cache.commit()
    torch.cuda.set_sync_debug_mode("default")
    assert graph is not None
    assert float(torch.stack(errors).max()) < 1e-2
