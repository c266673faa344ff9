"""LoRAs while the engine runs: as merged into the weights, exactly gone when they are taken away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.engine.tiny import random_weights, tiny_config
from torch import Tensor

from limner.engine.dit.linear import Linear
from limner.engine.dit.quantised import WeightKind
from limner.engine.engine import Engine
from limner.engine.errors import SettingsError, WeightsError
from limner.engine.files import LoraShare
from limner.engine.overlap import Lanes, OverlappedStream
from limner.engine.types import StreamSettings
from limner.engine.wan import keys
from limner.engine.wan.lora import LoraSwitch
from limner.engine.wan.lora_file import read_lora

CONFIG = tiny_config()
BASE = {name.removeprefix("dit."): t for name, t in random_weights(CONFIG).items() if name[:4] == "dit."}
LAYERS = [
    name.removesuffix(".weight")
    for name, tensor in BASE.items()
    if name.endswith(".weight") and tensor.ndim > 1
]
Pairs = Mapping[str, tuple[Tensor, Tensor]]


def pairs_for(layers: Sequence[str], rank: int = 4, seed: int = 1) -> dict[str, tuple[Tensor, Tensor]]:
    """Down and up of each layer, small enough that float32 is not asked too much."""
    torch.manual_seed(seed)
    shapes = {layer: BASE[f"{layer}.weight"].shape for layer in layers}
    return {
        layer: (
            torch.randn(rank, *shape[1:]) * 0.2,
            torch.randn(shape[0], rank, *[1] * (len(shape) - 2)) * 0.2,
        )
        for layer, shape in shapes.items()
    }


def delta(down: Tensor, up: Tensor, shape: Sequence[int]) -> Tensor:
    return (up.flatten(1) @ down.flatten(1)).view(*shape)


def merged(*loras: tuple[Pairs, float], also: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    weights = {name: tensor.clone() for name, tensor in BASE.items()}
    for pairs, scale in loras:
        for layer, (down, up) in pairs.items():
            name = f"{layer}.weight"
            weights[name] += scale * delta(down, up, weights[name].shape)
    for name, difference in (also or {}).items():
        weights[name] += difference
    return {f"dit.{name}": tensor for name, tensor in weights.items()}


def save(
    pairs: Pairs, path: Path, down: str = "lora_A", up: str = "lora_B", prefix: str = "diffusion_model."
) -> Path:
    tensors = {f"{prefix}{layer}.{down}.weight": pair[0].contiguous() for layer, pair in pairs.items()}
    tensors |= {f"{prefix}{layer}.{up}.weight": pair[1].contiguous() for layer, pair in pairs.items()}
    save_file(tensors, path)
    return path


def engine_of(dit: Mapping[str, Tensor] | None = None, **options: Any) -> Engine:
    weights = {**random_weights(CONFIG), **(dit or {})}
    return Engine(CONFIG, weights, **({"dtype": torch.float32} | options))


CHUNKS = [
    torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    for n in range(6)
]


def latents(engine: Engine, count: int = 3) -> Tensor:
    """What a new stream's denoiser gives for the first chunks, before pixels round it."""
    stream = engine.open_stream(StreamSettings(prompt="oil neon warm", cuts=False, motion_aware=False))
    outs = [stream.denoise(stream.encode(chunk)).chunks[0].latents_TCHW for chunk in CHUNKS[:count]]
    return torch.cat(outs).float()


def error(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).norm() / expected.norm())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "look.safetensors"


def test_it_equals_the_merged_weights_on_every_layer_at_once(path: Path) -> None:
    pairs, engine = pairs_for(LAYERS), engine_of()
    base = latents(engine)
    engine.set_loras([LoraShare(path=save(pairs, path), weight=0.7)])
    painted, expected = latents(engine), latents(engine_of(merged((pairs, 0.7))))
    assert error(painted, expected) < 1e-5
    assert error(painted, base) > 0.05, "it does nothing"


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_alone_equals_the_merged_weights(layer: str, path: Path) -> None:
    pairs, engine = pairs_for([layer], rank=3), engine_of()
    base, expected = latents(engine, 2), latents(engine_of(merged((pairs, -1.5))), 2)
    engine.set_loras([LoraShare(path=save(pairs, path), weight=-1.5)])
    assert error(latents(engine, 2), expected) < 1e-5
    assert error(base, expected) > 1e-4, "it does nothing"


def test_several_with_weights_add_up(tmp_path: Path) -> None:
    one, two = pairs_for(LAYERS, rank=4), pairs_for(LAYERS[::2], rank=17, seed=2)
    engine = engine_of()
    shares = [
        LoraShare(path=save(one, tmp_path / "one.safetensors"), weight=0.5),
        LoraShare(path=save(two, tmp_path / "two.safetensors"), weight=-0.25),
    ]
    engine.set_loras(shares)
    assert error(latents(engine), latents(engine_of(merged((one, 0.5), (two, -0.25))))) < 1e-5
    engine.set_loras(shares[1:])
    assert error(latents(engine), latents(engine_of(merged((two, -0.25))))) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_it_everything_is_as_before_to_the_last_bit(dtype: torch.dtype, path: Path) -> None:
    engine = engine_of(dtype=dtype)
    stream = engine.open_stream(StreamSettings(prompt="oil neon warm"))

    def paint() -> list[Tensor]:
        stream.reset()
        painted = [stream.push(chunk) for chunk in CHUNKS]
        return [out.frames_TCHW for out in painted if out is not None]

    before = paint()
    save(pairs_for(LAYERS), path)
    extras = {"diffusion_model.blocks.0.self_attn.q.diff_b": torch.ones(32)}
    save_file({**read_back(path), **extras}, path)
    engine.set_loras([LoraShare(path=path, weight=3)])
    with_it = paint()
    engine.set_loras([])
    after = paint()
    assert not all(torch.equal(a, b) for a, b in zip(before, with_it, strict=True)), "it does nothing"
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def read_back(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_weight_0_paints_as_without(path: Path) -> None:
    engine = engine_of()
    before = latents(engine)
    engine.set_loras([LoraShare(path=save(pairs_for(LAYERS), path), weight=0)])
    assert torch.equal(latents(engine), before)


# Live: values change in place, as long as the ranks fit.


def addresses(engine: Engine) -> list[int]:
    layers = [layer for layer in engine._model.dit.modules() if isinstance(layer, Linear)]
    return [layer.extra._a_RK.data_ptr() for layer in layers if layer.extra is not None]


def test_another_lora_of_no_more_rank_moves_nothing(tmp_path: Path) -> None:
    engine, dit = engine_of(), None
    one, two = pairs_for(LAYERS, rank=16), pairs_for(LAYERS[3:], rank=5, seed=2)
    first = LoraShare(path=save(one, tmp_path / "one.safetensors"))
    second = LoraShare(path=save(two, tmp_path / "two.safetensors"))
    dit = engine._model.dit
    assert dit.launches == 0
    engine.set_loras([first])
    launches, places = dit.launches, addresses(engine)
    engine.set_loras([second])
    assert (dit.launches, addresses(engine)) == (launches, places) and launches > 0
    assert error(latents(engine), latents(engine_of(merged((two, 1))))) < 1e-5
    engine.set_loras([])
    assert dit.launches == 0 and not addresses(engine)
    engine.set_loras([first])
    assert (dit.launches, addresses(engine)) == (launches, places)
    engine.set_loras([first, second])
    assert dit.launches != launches, "more rank needs other buffers, so other graphs"


def test_a_stream_that_runs_takes_it_at_the_next_chunk_text_too(path: Path) -> None:
    """Of the layers that only a text goes through, too: what was made of it is made anew."""
    engine = engine_of()
    stream = engine.open_stream(StreamSettings(prompt="oil neon warm", cuts=False))
    twin = engine_of(merged((pairs := pairs_for(LAYERS), 1.0))).open_stream(
        StreamSettings(prompt="oil neon warm", cuts=False)
    )
    stream.push(CHUNKS[0])
    engine.set_loras([LoraShare(path=save(pairs, path))])
    context, expected = (s.encode(CHUNKS[1]).text for s in (stream, twin))
    for ours, theirs in zip(context.keys + context.values, expected.keys + expected.values, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_on_lanes_it_comes_between_two_chunks(path: Path) -> None:
    save(pairs_for(LAYERS), path)

    def paint(overlapped: bool) -> list[Tensor]:
        engine = engine_of()
        prepared, none = engine.read_loras([LoraShare(path=path)]), engine.read_loras([])
        stream = engine.open_stream(StreamSettings(prompt="oil neon warm"))
        outs: list[Tensor] = []
        if not overlapped:
            for number, chunk in enumerate(CHUNKS):
                if number in (2, 4):
                    engine.use_loras(prepared if number == 2 else none)
                outs += [out.frames_TCHW for out in [stream.push(chunk)] if out is not None]
            return outs
        with Lanes(2) as lanes:
            live = OverlappedStream(stream, lanes)
            for number, chunk in enumerate(CHUNKS):
                if number in (2, 4):
                    lanes.between(lambda n=number: engine.use_loras(prepared if n == 2 else none))  # type: ignore[misc]
                live.push(chunk)
                outs += [out.frames_TCHW for out in live.collect()]
            return outs + [out.frames_TCHW for out in live.flush()]

    one_by_one, overlapped = paint(False), paint(True)
    assert len(one_by_one) == len(overlapped) == len(CHUNKS)
    assert all(torch.equal(a, b) for a, b in zip(one_by_one, overlapped, strict=True))


# Weights of any type.


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_it_works_beside_quantised_weights(kind: WeightKind, path: Path) -> None:
    pairs = pairs_for([name for name in LAYERS if name.startswith("blocks.")])
    switch_layers = {}
    for with_lora in (False, True):
        engine = engine_of()
        dit = engine._model.dit
        for name, layer in dit.named_modules():
            if isinstance(layer, Linear) and name.startswith("blocks.") and "self_attn" not in name:
                layer.quantise(kind)
        if with_lora:
            switch = LoraSwitch(dit)
            switch.use(switch.read([LoraShare(path=save(pairs, path))]))
        switch_layers[with_lora] = {
            name: layer for name, layer in dit.named_modules() if isinstance(layer, Linear)
        }
    x = torch.randn(7, 32)
    for layer in ("blocks.0.ffn.0", "blocks.1.ffn.2", "blocks.1.cross_attn.k"):
        down, up = pairs[layer]
        plain, ours = (switch_layers[which][layer](x) for which in (False, True))
        torch.testing.assert_close(ours - plain, x @ down.t() @ up.t(), rtol=1e-4, atol=1e-5)


def test_a_quantised_engine_with_it_is_as_near_to_the_truth_as_without(path: Path) -> None:
    pairs = pairs_for(LAYERS)
    rounded, exact = engine_of(weight_kind="int8"), engine_of()
    without = error(latents(rounded), latents(exact))
    for engine in (rounded, exact):
        engine.set_loras([LoraShare(path=save(pairs, path))])
    assert 0 < error(latents(rounded), latents(engine_of(merged((pairs, 1.0))))) < 2 * without + 1e-3
    rounded.set_loras([])
    assert error(latents(rounded), latents(engine_of())) == without


def test_it_works_beside_packed_weights(path: Path) -> None:
    pairs = pairs_for(LAYERS)
    bias = {"diffusion_model.blocks.1.self_attn.k.diff_b": torch.randn(32)}
    save_file({**read_back(save(pairs, path)), **bias}, path)
    engine = engine_of(dtype=torch.bfloat16)
    engine.set_loras([LoraShare(path=path)])
    also = {"blocks.1.self_attn.k.bias": bias["diffusion_model.blocks.1.self_attn.k.diff_b"]}
    expected = latents(engine_of(merged((pairs, 1.0), also=also)))
    rounded = latents(engine_of(merged((pairs, 1.0), also=also), dtype=torch.bfloat16))
    assert error(latents(engine), expected) < 2 * error(rounded, expected) + 1e-3


# Files.


def kohya(pairs: Pairs) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for layer, (down, up) in pairs.items():
        flat = "lora_unet_" + layer.replace(".", "_")
        tensors |= {
            f"{flat}.lora_down.weight": down,
            f"{flat}.lora_up.weight": up * len(down) / 2,
            f"{flat}.alpha": torch.tensor(2.0),
        }
    return tensors


def named(pairs: Pairs, name: Callable[[str], str], down: str, up: str) -> dict[str, Tensor]:
    tensors = {f"{name(layer)}.{down}.weight": pair[0] for layer, pair in pairs.items()}
    return tensors | {f"{name(layer)}.{up}.weight": pair[1] for layer, pair in pairs.items()}


SPELLINGS: dict[str, Callable[[Pairs], dict[str, Tensor]]] = {
    "wan": lambda p: named(p, lambda n: f"diffusion_model.{n}", "lora_A", "lora_B"),
    "wan, down and up": lambda p: named(p, lambda n: f"diffusion_model.{n}", "lora_down", "lora_up"),
    "bare, peft": lambda p: named(p, lambda n: n, "lora_A.default", "lora_B.default"),
    "peft": lambda p: named(p, lambda n: f"base_model.model.{n}", "lora_A", "lora_B"),
    "diffusers": lambda p: named(p, lambda n: f"transformer.{keys.to_diffusers(n)}", "lora_A", "lora_B"),
    "kohya": kohya,
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_means_the_same(spell: Callable[[Pairs], dict[str, Tensor]], path: Path) -> None:
    pairs = pairs_for(LAYERS)
    save_file({name: tensor.contiguous() for name, tensor in spell(pairs).items()}, path)
    lora = read_lora(path, {name: tuple(tensor.shape) for name, tensor in BASE.items()})
    assert set(lora.pairs) == set(LAYERS)
    for layer, pair in lora.pairs.items():
        expected = delta(*pairs[layer], BASE[f"{layer}.weight"].shape).flatten(1)
        torch.testing.assert_close(pair.up_NR @ pair.down_RK * pair.scale, expected)


def test_alpha_beside_the_tensors_counts(path: Path) -> None:
    pairs = pairs_for(LAYERS[:2])
    facts = {"transformer.r": 4, "transformer.lora_alpha": 8}
    tensors = {name: t.contiguous() for name, t in SPELLINGS["diffusers"](pairs).items()}
    save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps(facts)})
    lora = read_lora(path, {name: tuple(tensor.shape) for name, tensor in BASE.items()})
    assert all(pair.scale == 2.0 for pair in lora.pairs.values())


def test_whole_differences_of_norms_biases_and_modulation_count(path: Path) -> None:
    torch.manual_seed(4)
    differences = {
        name: torch.randn(BASE[name].shape) * 0.1
        for name in (
            "blocks.0.self_attn.norm_q.weight",
            "blocks.1.norm3.weight",
            "blocks.1.norm3.bias",
            "blocks.0.modulation",
            "head.modulation",
            "blocks.1.ffn.0.bias",
            "patch_embedding.weight",
            "head.head.weight",
            "blocks.0.ffn.2.weight",
        )
    }
    tensors: dict[str, Tensor] = {}
    for name, difference in differences.items():
        place, _, leaf = name.rpartition(".")
        spelled = {"weight": f"{place}.diff", "bias": f"{place}.diff_b"}.get(leaf, f"{name}.diff")
        tensors[f"diffusion_model.{spelled}"] = difference
    save_file(tensors, path)
    engine = engine_of()
    before = latents(engine)
    engine.set_loras([LoraShare(path=path, weight=0.5)])
    halves = {name: difference * 0.5 for name, difference in differences.items()}
    assert error(latents(engine), latents(engine_of(merged(also=halves)))) < 1e-5
    engine.set_loras([])
    assert torch.equal(latents(engine), before)


DAMAGE: dict[str, tuple[dict[str, Tensor | None], str]] = {
    "unknown key": ({"diffusion_model.wings": torch.zeros(1)}, r"diffusion_model\.wings is unknown"),
    "a block too many": (
        {"diffusion_model.blocks.7.ffn.0.lora_A.weight": torch.zeros(4, 32)},
        r"diffusion_model\.blocks\.7\.ffn\.0\.lora_A\.weight is of a layer that this model does not have",
    ),
    "image to video": (
        {"diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight": torch.zeros(4, 32)},
        r"k_img\.lora_A\.weight .*image-to-video",
    ),
    "a relative": (
        {"diffusion_model.blocks.0.ffn.0.hada_w1_a": torch.zeros(4)},
        r"hada_w1_a is of a relative of LoRA",
    ),
    "half a pair": (
        {"diffusion_model.blocks.0.ffn.0.lora_B.weight": None},
        r"blocks\.0\.ffn\.0\.lora_A\.weight lacks its up matrix",
    ),
    "alpha alone": (
        {
            "diffusion_model.blocks.0.ffn.0.lora_A.weight": None,
            "diffusion_model.blocks.0.ffn.0.lora_B.weight": None,
            "diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(3.0),
        },
        r"blocks\.0\.ffn\.0\.alpha lacks its down matrix",
    ),
    "another size": (
        {"diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.zeros(4, 48)},
        r"lora_A\.weight is made for a width of 48, blocks\.0\.ffn\.0 has 32; .*another size",
    ),
    "two ranks": (
        {"diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.zeros(5, 32)},
        r"lora_B\.weight has the rank 4, .*lora_A\.weight 5",
    ),
    "no number": (
        {"diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(float("nan"))},
        r"ffn\.0\.alpha is no number",
    ),
    "a flat matrix": (
        {"diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.zeros(4)},
        r"lora_A\.weight is no matrix",
    ),
    "a norm's pair": (
        {
            "diffusion_model.blocks.0.norm3.lora_A.weight": torch.zeros(4, 1),
            "diffusion_model.blocks.0.norm3.lora_B.weight": torch.zeros(32, 4),
        },
        r"norm3\.lora_A\.weight is of a tensor that is no matrix",
    ),
    "a difference of another shape": (
        {"diffusion_model.blocks.0.norm3.diff": torch.zeros(33)},
        r"norm3\.diff has the shape \[33\], the model's is \[32\]",
    ),
    "a difference of nothing": (
        {"diffusion_model.blocks.0.self_attn.norm_q.diff_b": torch.zeros(32)},
        r"norm_q\.diff_b is of a tensor that this model does not have",
    ),
    "twice": (
        {"blocks.0.ffn.0.lora_A.weight": torch.zeros(4, 32)},
        r"ffn\.0\.lora_A\.weight is there twice",
    ),
}


@pytest.mark.parametrize(("changes", "match"), DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_does_not_fit_changes_nothing(
    changes: dict[str, Tensor | None], match: str, path: Path, tmp_path: Path
) -> None:
    good = save(pairs_for(LAYERS), tmp_path / "good.safetensors")
    tensors = {**read_back(save(pairs_for(["blocks.0.ffn.0"]), path)), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    engine = engine_of()
    engine.set_loras([LoraShare(path=good)])
    before, revision = latents(engine, 1), engine._model.dit.revision
    with pytest.raises(WeightsError, match=match) as raised:
        engine.set_loras([LoraShare(path=good), LoraShare(path=path)])
    assert str(path) in str(raised.value)
    assert torch.equal(latents(engine, 1), before) and engine._model.dit.revision == revision


def test_a_whole_difference_as_big_as_the_layer_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.engine.wan.lora.MOST_DIFFERENCE_RANK", 16)
    save_file({"diffusion_model.blocks.0.ffn.0.diff": torch.zeros(32, 32)}, path)
    with pytest.raises(WeightsError, match=r"blocks\.0\.ffn\.0\.diff is a whole difference of 32x32"):
        engine_of().set_loras([LoraShare(path=path)])


def test_damaged_and_missing_files_are_named(path: Path, tmp_path: Path) -> None:
    engine = engine_of()
    with pytest.raises(WeightsError, match=r"look\.safetensors: there is no such"):
        engine.set_loras([LoraShare(path=path)])
    path.write_bytes(save(pairs_for(LAYERS), tmp_path / "x").read_bytes()[:-5])
    with pytest.raises(WeightsError, match=r"look\.safetensors: a damaged"):
        engine.set_loras([LoraShare(path=path)])
    save_file({}, path)
    with pytest.raises(WeightsError, match=r"look\.safetensors: holds no tensors"):
        engine.set_loras([LoraShare(path=path)])


@pytest.mark.parametrize("weight", [float("nan"), 11, -10.5, float("inf")])
def test_a_weight_out_of_its_range_is_refused(weight: float) -> None:
    with pytest.raises(SettingsError, match="-10 to 10"):
        LoraShare(path=Path("a"), weight=weight)
