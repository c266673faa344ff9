"""What a model takes in main memory where the processor paints. Nothing is chosen there: it fits, or not."""

from __future__ import annotations

from dataclasses import dataclass

from limner.models.plan_bytes import GIB, Part, vae_cache_numbers, vae_weight_numbers, vae_work_bytes
from limner.models.plan_dit import (
    FLOAT_BYTES,
    cache_bytes,
    dit_weight_bytes,
    view_bytes,
    window_bytes,
)
from limner.models.plan_model import ModelSizes, Size
from limner.models.plan_work import NUMBER_BYTES, dit_work_bytes

_TYPES = {NUMBER_BYTES: "bfloat16", FLOAT_BYTES: "float32"}


@dataclass(frozen=True, kw_only=True)
class ProcessorPlan:
    """One session of the default size, one step."""

    model: ModelSizes
    number_bytes: int
    """Of a number of the denoiser: 2 where the processor has bfloat16."""

    @property
    def needed_bytes(self) -> int:
        """At the peak, but for the text encoder: that is read from its file, and comes and goes."""
        parts = processor_parts(self.model, number_bytes=self.number_bytes, steps=1, size=self.model.sizes[0])
        return sum(part.size_bytes for part in parts)

    @property
    def sentence(self) -> str:
        """What is painted how, and the bytes."""
        (width, height), kind = self.model.sizes[0], _TYPES[self.number_bytes]
        return (
            f"on the processor, {width}×{height}, denoiser in {kind}, autoencoder in float32:"
            f" {self.needed_bytes / GIB:.1f} GiB of main memory"
        )

    def refusal(self, free_bytes: int | None) -> str:
        """Return why it cannot be loaded, and what to do; empty: it can, or nobody knows what is free."""
        if free_bytes is None or self.needed_bytes <= free_bytes:
            return ""
        return (
            f"{self.model.name} takes {self.needed_bytes / GIB:.1f} GiB of main memory on the processor, and"
            f" {free_bytes / GIB:.1f} GiB are free; close other programs, or use a smaller model or pocket"
        )


def processor_parts(model: ModelSizes, *, number_bytes: int, steps: int, size: Size) -> tuple[Part, ...]:
    """Return the bytes of the weights, of what one session remembers, and of the stages at work.

    Wan's autoencoders are in float32 on every processor.
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
        "denoiser at work": dit_work_bytes(
            model.dit,
            rows=steps,
            latents=model.chunk_latents,
            width=size[0],
            height=size[1],
            number_bytes=number_bytes,
        ),
        "autoencoder at work": sum(vae_work_bytes(model, kind, size)) * vae_bytes // NUMBER_BYTES,
    }
    return tuple(Part(name=name, size_bytes=size_bytes) for name, size_bytes in parts.items())
