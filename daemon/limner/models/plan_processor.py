"""What a model takes in main memory where the processor paints. Nothing is chosen there: it is only told."""

from __future__ import annotations

from limner.models.plan_bytes import GIB, Part, vae_cache_numbers, vae_weight_numbers
from limner.models.plan_dit import (
    FLOAT_BYTES,
    cache_bytes,
    dit_weight_bytes,
    view_bytes,
    window_bytes,
)
from limner.models.plan_model import ModelSizes, Size

_TYPES = {2: "bfloat16", FLOAT_BYTES: "float32"}


def processor_parts(model: ModelSizes, *, number_bytes: int, steps: int, size: Size) -> tuple[Part, ...]:
    """Return the bytes of the weights, and of what one session remembers.

    `number_bytes`: of a number of the denoiser, 2 where the processor has bfloat16. Wan's autoencoders are in
    float32 on every processor. What a forward takes meanwhile is not in it, nor UMT5, which comes and goes.
    """
    kind = model.vaes[0]
    vae_bytes = number_bytes if kind == "pocket" else FLOAT_BYTES
    window = {"rows": steps, "width": size[0], "height": size[1]}
    history = cache_bytes(model.dit, **window, number_bytes=number_bytes)
    parts = {
        "denoiser": dit_weight_bytes(model.dit, "bf16", number_bytes),
        "autoencoder": vae_bytes * vae_weight_numbers(model, kind),
        "history": history + window_bytes(model.dit, **window) + view_bytes(model.dit, **window),
        "autoencoder's memory": vae_bytes * vae_cache_numbers(model, kind, size),
    }
    return tuple(Part(name=name, size_bytes=size_bytes) for name, size_bytes in parts.items())


def processor_sentence(model: ModelSizes, number_bytes: int) -> str:
    """Return in one line what is painted how, and the bytes: one session of the default size, one step."""
    size = model.sizes[0]
    parts = processor_parts(model, number_bytes=number_bytes, steps=1, size=size)
    needed = sum(part.size_bytes for part in parts) / GIB
    return (
        f"on the processor, {size[0]}×{size[1]}, denoiser in {_TYPES[number_bytes]}, autoencoder in float32:"
        f" {needed:.1f} GiB of main memory"
    )
