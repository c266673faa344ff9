"""Names key by key against the modules of diffusers and transformers, on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.wan import keys, keys_text, keys_vae
from limner.engine.wan.keys_kind import kind_of

SIZES = {"1.3B": (1536, 8960, 12, 30), "14B": (5120, 13824, 40, 40)}
Shapes = dict[str, tuple[int, ...]]


def shapes(module: Any) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def diffusers_dit(size: str) -> Shapes:
    dim, ffn_dim, heads, layers = SIZES[size]
    with torch.device("meta"):
        make: Any = WanTransformer3DModel  # diffusers has no types here
        return shapes(
            make(
                num_attention_heads=heads, attention_head_dim=dim // heads, ffn_dim=ffn_dim, num_layers=layers
            )
        )


def our_dit(size: str) -> Shapes:
    dim, ffn_dim, heads, layers = SIZES[size]
    config = DiTConfig(
        latent_channels=16, dim=dim, ffn_dim=ffn_dim, heads=heads, layers=layers, text_dim=4096
    )
    with torch.device("meta"):
        return shapes(CausalDiT(config))


def assert_both_ways(
    theirs: Shapes, ours: Shapes, there: Callable[[str], str], back: Callable[[str], str]
) -> None:
    assert {back(name): shape for name, shape in theirs.items()} == ours
    assert {there(name): shape for name, shape in ours.items()} == theirs
    assert all(there(back(name)) == name for name in theirs)
    assert all(back(there(name)) == name for name in ours)


@pytest.mark.parametrize("size", SIZES)
def test_the_denoisers_names_go_both_ways(size: str) -> None:
    theirs, ours = diffusers_dit(size), our_dit(size)
    assert_both_ways(theirs, ours, keys.to_diffusers, keys.from_diffusers)
    assert keys.dit_names(theirs).ours == {name: keys.from_diffusers(name) for name in theirs}
    assert keys.dit_names(ours).ours == {name: name for name in ours}


WRAPS: dict[str, Callable[[str], str]] = {
    "causal": lambda name: f"model.{name}",
    "one file": lambda name: f"model.diffusion_model.{name}",
    "one file, shorter": lambda name: f"diffusion_model.{name}",
    "sharded in training": lambda name: f"model._fsdp_wrapped_module.{name}",
    "some blocks sharded": lambda name: name.replace("blocks.1.", "blocks.1._fsdp_wrapped_module."),
    "compiled": lambda name: f"module._orig_mod.{name}",
    "diffusers": lambda name: f"transformer.{keys.to_diffusers(name)}",
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_prefixes_and_the_marks_of_training_are_read_over(wrap: Callable[[str], str]) -> None:
    spelled = {wrap(name): name for name in our_dit("1.3B")}
    assert keys.dit_names(spelled).ours == spelled


def test_a_prefix_that_not_all_names_have_stays() -> None:
    names = ["model.blocks.0.norm3.weight", "head.head.weight"]
    assert keys.dit_names(names).ours == dict(zip(names, names, strict=True))


def test_tables_of_angles_are_known_to_do_nothing() -> None:
    names = ["model.freqs", "model.head.head.weight", "rope.freqs_cos"]
    assert keys.dit_names(names).ours == {"model.head.head.weight": "head.head.weight"}


def test_unknown_names_pass_through() -> None:
    for name in ("wings", "blocks.0.wings.weight", "blocks.x.norm3.weight", "norm3", "blocks.0", ""):
        assert keys.to_diffusers(name) == keys.from_diffusers(name) == name
        assert keys_vae.to_diffusers(name) == keys_vae.from_diffusers(name) == name
        assert keys_text.to_wan(name) == keys_text.from_wan(name) == name


def wan_vae_names() -> set[str]:
    """Wan's names by the rule of its blocks: what stands at each place of the two halves."""

    def conv(place: str) -> set[str]:
        return {f"{place}.weight", f"{place}.bias"}

    def residual(place: str, *, changes_width: bool = False) -> set[str]:
        norms = {f"{place}.residual.0.gamma", f"{place}.residual.3.gamma"}
        shortcut = conv(f"{place}.shortcut") if changes_width else set()
        return norms | conv(f"{place}.residual.2") | conv(f"{place}.residual.6") | shortcut

    def half(name: str) -> set[str]:
        attention = conv(f"{name}.middle.1.to_qkv") | conv(f"{name}.middle.1.proj")
        ends = conv(f"{name}.conv1") | conv(f"{name}.head.2") | {f"{name}.head.0.gamma"}
        middle = residual(f"{name}.middle.0") | residual(f"{name}.middle.2")
        return ends | middle | attention | {f"{name}.middle.1.norm.gamma"}

    names = half("encoder") | half("decoder") | conv("conv1") | conv("conv2")
    for place in (0, 1, 3, 4, 6, 7, 9, 10):
        names |= residual(f"encoder.downsamples.{place}", changes_width=place in (3, 6))
    for place in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14):
        names |= residual(f"decoder.upsamples.{place}", changes_width=place == 4)
    for name in ("encoder.downsamples.2", "encoder.downsamples.5", "encoder.downsamples.8"):
        names |= conv(f"{name}.resample.1")
    for name in ("decoder.upsamples.3", "decoder.upsamples.7", "decoder.upsamples.11"):
        names |= conv(f"{name}.resample.1")
    for name in ("encoder.downsamples.5", "encoder.downsamples.8"):
        names |= conv(f"{name}.time_conv")
    return names | conv("decoder.upsamples.3.time_conv") | conv("decoder.upsamples.7.time_conv")


def test_the_autoencoders_names_go_both_ways() -> None:
    make: Any = AutoencoderKLWan
    with torch.device("meta"):
        theirs = shapes(make())
    ours = {keys_vae.from_diffusers(name): shape for name, shape in theirs.items()}
    assert set(ours) == wan_vae_names()
    assert_both_ways(theirs, ours, keys_vae.to_diffusers, keys_vae.from_diffusers)
    assert keys_vae.vae_names(theirs).ours == {name: keys_vae.from_diffusers(name) for name in theirs}
    assert keys_vae.vae_names(ours).ours == {name: name for name in ours}


def test_the_text_encoders_names_go_both_ways() -> None:
    config = UMT5Config(d_model=16, d_kv=4, num_heads=2, d_ff=24, num_layers=3, vocab_size=11)
    with torch.device("meta"):
        ours = shapes(UMT5EncoderModel(config))
    second = ours.pop("encoder.embed_tokens.weight")
    wan: Shapes = {"token_embedding.weight": (11, 16), "norm.weight": (16,)}
    for n in range(3):
        wan |= {f"blocks.{n}.norm1.weight": (16,), f"blocks.{n}.norm2.weight": (16,)}
        wan |= {f"blocks.{n}.attn.{layer}.weight": (8, 16) for layer in "qkv"}
        wan |= {f"blocks.{n}.attn.o.weight": (16, 8), f"blocks.{n}.pos_embedding.embedding.weight": (32, 2)}
        wan |= {f"blocks.{n}.ffn.gate.0.weight": (24, 16), f"blocks.{n}.ffn.fc1.weight": (24, 16)}
        wan |= {f"blocks.{n}.ffn.fc2.weight": (16, 24)}
    assert_both_ways(wan, ours, keys_text.to_wan, keys_text.from_wan)
    assert keys_text.to_wan("encoder.embed_tokens.weight") == "token_embedding.weight"
    assert second == wan["token_embedding.weight"]
    assert keys_text.text_names(wan).ours == {name: keys_text.from_wan(name) for name in wan}
    assert keys_text.text_names(ours).ours == {name: name for name in ours}


def test_kinds_are_told_by_names() -> None:
    dit = our_dit("1.3B")
    assert kind_of(dit) == kind_of([keys.to_diffusers(name) for name in dit]) == "a Wan denoiser"
    vae = wan_vae_names()
    assert kind_of(vae) == kind_of([keys_vae.to_diffusers(name) for name in vae]) == "a Wan autoencoder"
    assert kind_of(["blocks.0.attn.q.weight"]) == "a T5 text encoder"
    assert kind_of(["diffusion_model.blocks.0.self_attn.q.lora_A.weight"]) == "a LoRA"
    assert kind_of(["decoder.3.conv.0.weight"]) == "a TAEHV autoencoder"
    assert kind_of(["wings"]) == ""
