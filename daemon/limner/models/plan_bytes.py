"""What a way to paint takes on the GPU, part by part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from limner.models.plan_dit import (
    DitSizes,
    Weights,
    cache_bytes,
    dit_weight_bytes,
    text_bytes,
    view_bytes,
    window_bytes,
)
from limner.models.plan_model import ModelSizes, Size, VaeKind
from limner.models.plan_small_vae import PocketVaeSizes
from limner.models.plan_vae import WanVaeSizes, hastened_parameters
from limner.models.plan_work import (
    dit_work_bytes,
    frames_bytes,
    pocket_vae_work_bytes,
    taehv_work_bytes,
    wan_vae_work_bytes,
)

GIB, MIB = 2**30, 2**20

TextPlace = Literal["gpu", "gpu while encoding", "cpu"]
"""Where UMT5 is: on the GPU for good; on the GPU while a new prompt is encoded; in main memory."""

UMT5_BYTES = 11_361_820_672
"""UMT5-XXL's encoder: 5.68 G numbers in bfloat16."""
UMT5_WORK_BYTES = 300 * MIB
"""What it needs beside its weights while it encodes 512 tokens."""
CUDA_BYTES = 600 * MIB
"""An allowance: CUDA's context, the libraries' kernels and their work spaces."""
GRAPH_BYTES = 100 * MIB
"""An allowance: what recorded CUDA graphs keep of their own."""
PROMPTS = 3
"""Prompts on the device: the one that is painted, its copy that a graph reads, the next one."""
NUMBER_BYTES = 2
SLACK = 0.03
"""An allowance: the share that is lost between the pieces of the allocator."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to paint: all that memory depends on."""

    size: Size
    """The largest working picture."""
    weights: Weights
    vae: VaeKind
    window_frames: int
    sink_frames: int
    steps: int
    """The most denoising steps: each has a history of its own."""
    text: TextPlace
    chunk_latents: int = 1
    """Latent frames of the longest chunk."""
    streams: int = 1
    """Sessions at a time."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One line of the plan."""

    name: str
    size_bytes: int


def parts_of(model: ModelSizes, choice: Choice) -> tuple[Part, ...]:
    """Return what a choice takes, in bytes, what is zero left out."""
    weights = {
        "denoiser": dit_weight_bytes(model.dit, choice.weights),
        "autoencoder": vae_weight_bytes(model, choice.vae),
        "text encoder": text_encoder_bytes(model, choice),
        "LoRAs": model.lora_bytes,
    }
    once = {
        "denoiser at work": dit_work_bytes(
            _window_of(model, choice),
            choice.weights,
            rows=choice.steps,
            latents=choice.chunk_latents,
            width=choice.size[0],
            height=choice.size[1],
        ),
        "autoencoder at work": sum(vae_work_bytes(model, choice.vae, choice.size)),
    }
    # Calls leave their memory with their CUDA streams, and a scene that begins anew needs it again; what is
    # recorded has memory of its own, which nothing else can have.
    once["recorded work"] = sum(once.values())
    streams = {name: choice.streams * size for name, size in stream_parts(model, choice).items()}
    parts = weights | streams | once
    lost = int(SLACK * sum(parts.values()))
    parts |= {"lost in the allocator": lost, "CUDA itself": CUDA_BYTES + GRAPH_BYTES}
    return tuple(Part(name=name, size_bytes=size) for name, size in parts.items() if size)


def stream_parts(model: ModelSizes, choice: Choice) -> dict[str, int]:
    """Return what each session takes for itself."""
    width, height = choice.size
    dit = _window_of(model, choice)
    shown = {"rows": choice.steps, "width": width, "height": height}
    return {
        "history": cache_bytes(dit, **shown) + window_bytes(dit, **shown) + view_bytes(dit, **shown),
        "autoencoder's memory": NUMBER_BYTES * vae_cache_numbers(model, choice.vae, choice.size),
        "prompts": PROMPTS * text_bytes(dit, text_tokens=model.text_tokens),
        "frames": frames_bytes(width, height, choice.chunk_latents),
    }


@lru_cache(maxsize=4096)
def total_bytes(model: ModelSizes, choice: Choice) -> int:
    """Return the peak of a choice."""
    return sum(part.size_bytes for part in parts_of(model, choice))


def vae_weight_bytes(model: ModelSizes, kind: VaeKind) -> int:
    """Return the bytes of an autoencoder's weights on a GPU."""
    return NUMBER_BYTES * vae_weight_numbers(model, kind)


@lru_cache(maxsize=64)
def vae_weight_numbers(model: ModelSizes, kind: VaeKind) -> int:
    """Return how many numbers an autoencoder's weights are (and what pocket's has beside them)."""
    numbers = sum(layer.parameters for layer in model.vae_layers(kind))
    if isinstance(model.vae, PocketVaeSizes):
        numbers += 2 * model.vae.latent_channels
    if isinstance(model.vae, WanVaeSizes) and kind == "wan":
        numbers += hastened_parameters(model.vae)
    return numbers


@lru_cache(maxsize=64)
def vae_cache_numbers(model: ModelSizes, kind: VaeKind, size: Size) -> int:
    """Return how many numbers the autoencoder's streams of a session remember, both ways."""
    return sum(layer.kept(*size) for layer in model.vae_layers(kind))


def vae_work_bytes(model: ModelSizes, kind: VaeKind, size: Size) -> tuple[int, int]:
    """Return the peaks of encoding and decoding one latent frame."""
    if kind == "taehv":
        return taehv_work_bytes(model.taehv, *size)
    if isinstance(model.vae, PocketVaeSizes):
        return pocket_vae_work_bytes(model.vae, *size)
    assert isinstance(model.vae, WanVaeSizes), "a kind that is not among `vaes`"
    return wan_vae_work_bytes(model.vae, *size)


def _window_of(model: ModelSizes, choice: Choice) -> DitSizes:
    return replace(model.dit, window_frames=choice.window_frames, sink_frames=choice.sink_frames)


def text_encoder_bytes(model: ModelSizes, choice: Choice) -> int:
    """Return what reading prompts takes on the GPU."""
    if not model.has_umt5 or choice.text == "cpu":
        return 0
    return UMT5_BYTES + UMT5_WORK_BYTES
