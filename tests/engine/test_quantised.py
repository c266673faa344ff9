"""Weights of one byte a number: close to the wide ones, and as small as they should be."""

from __future__ import annotations

import pytest
import torch
from tests.engine.tiny import random_weights, tiny_config
from torch import Tensor, nn

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.finish import finisher
from limner.engine.dit.linear import Linear, fused
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.quantised import (
    FP8,
    Form,
    WeightKind,
    fp8_form,
    fp8_product,
    product,
    quantised,
    widened,
    works_on,
)
from limner.engine.engine import Engine
from limner.engine.errors import EngineError
from limner.engine.types import StreamSettings

CPU = torch.device("cpu")
CONFIG = DiTConfig(latent_channels=16, dim=256, ffn_dim=448, heads=2, layers=4, text_dim=64, window_frames=4)
KINDS: list[WeightKind] = ["int8", "fp8"]
FORMS: list[Form] = ["emulated", "whole", "rows"]
# What a rounding to 8 bits (of the largest number of a row), or to 3 bits of mantissa, leaves of a weight.
WEIGHT_ERROR = {"int8": 0.01, "fp8": 0.04}
# Of a whole transformer's output; in fp8 the input of every product is rounded as well.
MODEL_ERROR = {"int8": 0.008, "fp8": 0.04}


def error(given: Tensor, expected: Tensor) -> float:
    return float((given.float() - expected.float()).norm() / expected.float().norm())


def model_of(config: DiTConfig = CONFIG) -> CausalDiT:
    torch.manual_seed(0)
    model = CausalDiT(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.8 / parameter.shape[1] ** 0.5)
    return model


def forward(model: CausalDiT) -> Tensor:
    torch.manual_seed(1)
    x, text = torch.randn(2, 3, 16, 6, 4), torch.randn(2, 9, 64)
    return model.forward_clip(x.to(model.dtype), torch.tensor([[0.7] * 3, [0.3] * 3]), text.to(model.dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_weight_is_close_row_by_row(kind: WeightKind) -> None:
    torch.manual_seed(0)
    # More rows than are done at once, of very unlike sizes, one of them empty.
    weight = torch.randn(2064, 64) * torch.logspace(-6, 4, 2064)[:, None]
    weight[7] = 0
    small, scale = quantised(weight, kind)
    assert small.element_size() == 1 and scale.dtype == torch.float32
    back = widened(small, scale, torch.float32)
    rows = (back - weight).norm(dim=1) / weight.norm(dim=1).clamp(min=1e-30)
    assert float(rows.max()) < WEIGHT_ERROR[kind]
    assert torch.equal(back[7], weight[7])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_layer_is_the_layer_of_its_widened_weight(kind: WeightKind, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = Linear(64, 96).requires_grad_(False).to(dtype), torch.randn(2, 5, 64).to(dtype)
    layer.quantise(kind)
    assert layer.scale is not None
    wide = Linear(64, 96).requires_grad_(False).to(dtype)
    wide.weight.copy_(widened(layer.weight, layer.scale, dtype))
    wide.bias.copy_(layer.bias)
    assert layer(x).dtype == dtype and layer(x).shape == (2, 5, 96)
    limit = 0.01 if kind == "int8" else MODEL_ERROR["fp8"]
    assert error(layer(x), wide(x)) < limit
    assert error(layer.forward_gelu(x), wide.forward_gelu(x)) < limit


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_the_fp8_product_agree(form: Form) -> None:
    if not works_on(CPU, form):
        pytest.skip(f"this torch has no {form} product on a CPU")
    torch.manual_seed(0)
    x = (torch.randn(48, 64) * torch.logspace(-3, 3, 48)[:, None]).bfloat16().float()
    weight, bias = torch.randn(32, 64) * torch.logspace(-2, 2, 32)[:, None], torch.randn(32)
    small, scale = quantised(weight, "fp8")
    x_scale = x.abs().amax(1, keepdim=True) / 448
    expected = ((x / x_scale).to(FP8).float() * x_scale) @ widened(small, scale, torch.float32).t() + bias
    given = fp8_product(x.bfloat16(), small, scale, bias, form)
    rows = (given.float() - expected).norm(dim=1) / expected.norm(dim=1)
    assert float(rows.max()) < 0.01  # The result is bfloat16.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_quantised_transformer_is_close(kind: WeightKind, dtype: torch.dtype) -> None:
    expected = forward(model_of())
    model = model_of().to(dtype)
    model.quantise(kind)
    model.pack()
    far = error(forward(model), expected)
    assert 1e-4 < far < MODEL_ERROR[kind] + (0.01 if dtype == torch.bfloat16 else 0)


def test_only_the_blocks_products_are_quantised() -> None:
    model = model_of()
    names = set(model.state_dict())
    model.quantise("int8")
    assert set(model.state_dict()) == names
    small = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.int8}
    large = [f"{part}.{name}" for part in ("self_attn", "cross_attn") for name in "qkvo"] + ["ffn.0", "ffn.2"]
    assert small == {f"blocks.{layer}.{name}.weight" for layer in range(4) for name in large}


def test_quantised_while_it_is_filled_it_is_the_same() -> None:
    at_once, bit_by_bit = model_of(), model_of()
    at_once.quantise("fp8")
    for name, module in reversed(list(bit_by_bit.named_modules(prefix="dit"))):
        finisher("fp8")(name, module)
        if name.endswith("self_attn"):
            storages = {part.weight.untyped_storage().data_ptr() for part in (module.q, module.k, module.v)}
            assert len(storages) == 1
    assert torch.equal(forward(at_once), forward(bit_by_bit))


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_paints_nearly_the_same(kind: WeightKind) -> None:
    config = tiny_config()
    frames = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8)
    painted = []
    kinds: list[WeightKind] = ["bf16", kind]
    for weights in kinds:
        engine = Engine(config, random_weights(config), dtype=torch.float32, weight_kind=weights)
        out = engine.open_stream(StreamSettings(prompt="oil", strength=0.8), 32, 48).push(frames)
        assert out is not None
        painted.append(out.frames_TCHW.float())
    assert 0 < (painted[0] - painted[1]).abs().mean() < 3


def test_bf16_leaves_it_as_it_is() -> None:
    model, same = model_of(), model_of()
    same.quantise("bf16")
    assert torch.equal(forward(model), forward(same))


@pytest.mark.parametrize("kind", ["bf16", *KINDS])
def test_fused_layers_give_the_same_and_nothing_is_there_twice(kind: WeightKind) -> None:
    torch.manual_seed(0)
    parts, x = [Linear(64, width).requires_grad_(False) for width in (32, 48, 16)], torch.randn(3, 64)
    for part in parts:
        part.quantise(kind)
    before = torch.cat([part(x) for part in parts], dim=-1)
    whole = fused(parts)
    torch.testing.assert_close(whole(x), before)
    torch.testing.assert_close(torch.cat([part(x) for part in parts], dim=-1), before)
    for name in ("weight", "bias", *(["scale"] if kind != "bf16" else [])):
        storages = {getattr(layer, name).untyped_storage().data_ptr() for layer in (whole, *parts)}
        assert len(storages) == 1


def test_a_packed_model_has_one_product_for_queries_keys_and_values() -> None:
    model, packed = model_of(), model_of()
    packed.pack()
    assert set(packed.state_dict()) == set(model.state_dict())
    torch.testing.assert_close(forward(packed), forward(model))
    # What changes a weight in place (a LoRA that is merged) shows in the fused one.
    for each in (model, packed):
        each.get_submodule("blocks.1.self_attn.k").weight.mul_(1.5)  # type: ignore[operator]
    torch.testing.assert_close(forward(packed), forward(model))


def test_int8_does_not_overflow_in_float16() -> None:
    """On cards without bfloat16: its numbers, summed up before they are scaled, are too large."""
    torch.manual_seed(0)
    x = torch.randn(4, 512) + 4
    weight, bias = torch.randn(32, 512).abs() / 512, torch.randn(32)
    small, scale = quantised(weight, "int8")
    out = product(x.half(), small, scale, bias.half(), "emulated")
    assert error(out, x @ weight.t() + bias) < 0.01


def test_fp8_refuses_odd_widths_and_says_what_to_do() -> None:
    with pytest.raises(EngineError, match=r"multiples of 16.*\[24, 40\].*int8 or bf16"):
        quantised(torch.randn(24, 40), "fp8")


def test_fp8_refuses_an_old_card_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class OldCard:
        shape = torch.Size([32, 32])
        device = torch.device("cuda:0")

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    with pytest.raises(EngineError, match=r"8\.9 or more.*this one has 8\.6; choose int8 or bf16"):
        quantised(OldCard(), "fp8")  # type: ignore[arg-type]


def test_a_card_that_can_do_no_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Form] = []

    def fails(device: torch.device, form: Form) -> bool:
        tried.append(form)
        return False

    monkeypatch.setattr("limner.engine.dit.quantised.works_on", fails)
    with pytest.raises(EngineError, match="update the driver, or choose int8 or bf16"):
        fp8_form.__wrapped__(torch.device("cuda:0"))
    assert tried == ["rows", "whole"]
