"""What a weights file is of, judged by the names in it: for errors that help."""

from __future__ import annotations

from collections.abc import Collection

_SIGNS = (
    ("a LoRA", (".lora_A.", ".lora_B.", ".lora_down.", ".lora_up.")),
    ("weights that someone scaled to fp8", (".scale_weight", "scaled_fp8")),
    ("an image-to-video denoiser", ("img_emb.", "image_embedder.")),
    ("a Wan denoiser", ("blocks.0.self_attn.q.weight", "blocks.0.attn1.to_q.weight")),
    ("a Wan autoencoder", ("decoder.middle.0.residual.0.gamma", "decoder.mid_block.resnets.0.norm1.gamma")),
    ("a T5 text encoder", ("blocks.0.attn.q.weight", "block.0.layer.0.SelfAttention.q.weight")),
    ("a TAEHV autoencoder", ("decoder.3.conv.0.weight", "taehv.decoder.3.")),
)
"""The first whose sign stands in a name counts."""


def kind_of(names: Collection[str]) -> str:
    """What a file with these names holds, such as "a LoRA"; empty when that is not known."""
    for kind, signs in _SIGNS:
        if any(sign in name for sign in signs for name in names):
            return kind
    return ""
