"""Stage times without a GPU: operations and bytes as counted, over rates that are assumed.

A rate is an assumption, named here and in docs/scheduling.md: NVIDIA's dense bf16 figure with fp32 sums,
times 0.6 for the DiT's products and attention (what a good kernel reaches) and 0.35 for the autoencoder's
thin convolutions; memory at 0.8 of what the data sheet says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from limner.engine.blocks import RankCost
from limner.models.plan_bytes import CUDA_BYTES, GIB, GRAPH_BYTES, SLACK
from limner.models.plan_dit import (
    FLOAT_BYTES,
    DitSizes,
    cache_bytes,
    dit_weight_bytes,
    text_bytes,
    view_bytes,
)
from limner.models.plan_vae import WanVaeSizes
from limner.models.plan_work import dit_work_bytes, wan_vae_work_bytes

Size = tuple[int, int]
FOR_PRODUCTS, FOR_CONVOLUTIONS, FOR_MEMORY = 0.6, 0.35, 0.8
LAUNCH_MS = 0.02
"""Of a block, with CUDA graphs; and of a whole autoencoder, 20 times that."""
TEXT_TOKENS = 512
NUMBER_BYTES = 2
TERA, GIGA, MS = 1e12, 1e9, 1e3


@dataclass(frozen=True, kw_only=True)
class Card:
    """A GPU, by its data sheet."""

    name: str
    tflops: float
    """Dense bf16, sums in fp32."""
    gb_per_s: float
    memory_gib: float


@dataclass(frozen=True, kw_only=True)
class Link:
    """What is between two ranks; rates that programs see."""

    name: str
    gb_per_s: float
    latency_ms: float


CARDS = {
    card.name: card
    for card in (
        Card(name="H100", tflops=989, gb_per_s=3350, memory_gib=80),
        Card(name="A100", tflops=312, gb_per_s=2039, memory_gib=80),
        Card(name="5090", tflops=209, gb_per_s=1792, memory_gib=32),
        Card(name="4090", tflops=165, gb_per_s=1008, memory_gib=24),
        Card(name="3090", tflops=71, gb_per_s=936, memory_gib=24),
        Card(name="4070", tflops=58, gb_per_s=504, memory_gib=12),
    )
}
LINKS = {
    link.name: link
    for link in (
        Link(name="NVLink 4", gb_per_s=300, latency_ms=0.01),
        Link(name="PCIe 4 ×16", gb_per_s=18, latency_ms=0.03),
        Link(name="PCIe 4 ×4", gb_per_s=5, latency_ms=0.03),
        Link(name="10 Gbit Ethernet", gb_per_s=1.1, latency_ms=0.1),
    )
}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A model: its DiT, and its autoencoder as docs/measurements.md counts it for a latent frame at 512²."""

    name: str
    dit: DitSizes
    encode_tflop: float = 5.27
    decode_tflop: float = 8.88
    vae_gib: float = 10.2
    vae_kept_gib: float = 1.84

    def block_flop(self, size: Size) -> float:
        """Operations of a block, for one row of one latent frame with a full window."""
        dit, tokens = self.dit, self.dit.tokens(*size)
        products = 6 * dit.dim**2 + 2 * dit.dim * dit.ffn_dim
        attended = dit.window_frames * tokens + TEXT_TOKENS
        return 2 * tokens * products + 4 * tokens * attended * dit.dim

    def block_bytes(self, size: Size) -> float:
        """Bytes that a block reads and writes at the least: weights, the window, what passes through."""
        dit, tokens = self.dit, self.dit.tokens(*size)
        weights = dit_weight_bytes(dit, "bf16") / dit.layers
        window = 2 * dit.window_frames * tokens * dit.dim * NUMBER_BYTES
        # Of 30 passes over the tokens, ten read or write the sum, which is in float32.
        return weights + window + tokens * dit.dim * (20 * NUMBER_BYTES + 10 * FLOAT_BYTES)

    def hop_bytes(self, size: Size) -> float:
        """Bytes from rank to rank: the tokens of a row."""
        return self.dit.tokens(*size) * self.dit.dim * FLOAT_BYTES


WAN_1_3B = Counted(
    name="1.3B",
    dit=DitSizes(
        wide_residual=True, latent_channels=16, dim=1536, ffn_dim=8960, heads=12, layers=30, text_dim=4096
    ),
)
WAN_14B = Counted(
    name="14B",
    dit=DitSizes(
        wide_residual=True, latent_channels=16, dim=5120, ffn_dim=13824, heads=40, layers=40, text_dim=4096
    ),
)


def _with_taehv(model: Counted) -> Counted:
    return replace(
        model,
        name=f"{model.name}, TAEHV",
        encode_tflop=0.16,
        decode_tflop=0.35,
        vae_gib=1.8,
        vae_kept_gib=0.074,
    )


MODELS = {model.name: model for model in (WAN_1_3B, _with_taehv(WAN_1_3B), WAN_14B, _with_taehv(WAN_14B))}


def block_ms(model: Counted, card: Card, size: Size) -> float:
    """A block's time for one row."""
    computing = model.block_flop(size) / (card.tflops * TERA * FOR_PRODUCTS)
    moving = model.block_bytes(size) / (card.gb_per_s * GIGA * FOR_MEMORY)
    return MS * max(computing, moving) + LAUNCH_MS


def vae_ms(model: Counted, card: Card, size: Size) -> tuple[float, float]:
    """Encoding and decoding of a latent frame."""
    area = size[0] * size[1] / 512**2
    moving = model.vae_gib * GIB * area / 2 / (card.gb_per_s * GIGA * FOR_MEMORY)

    def of(tflop: float) -> float:
        return MS * max(tflop * area / (card.tflops * FOR_CONVOLUTIONS), moving) + 20 * LAUNCH_MS

    return of(model.encode_tflop), of(model.decode_tflop)


def hop_ms(model: Counted, link: Link, size: Size) -> float:
    """From rank to rank."""
    return MS * model.hop_bytes(size) / (link.gb_per_s * GIGA) + link.latency_ms


def most_blocks(model: Counted, card: Card, size: Size, *, steps: int, vae_halves: int) -> int:
    """Return how many blocks a card holds, with their caches, beside so many halves of the autoencoder."""
    dit, (width, height) = model.dit, size
    work = dit_work_bytes(dit, rows=1, latents=1, width=width, height=height)
    work += view_bytes(dit, rows=steps, width=width, height=height)
    area = width * height / 512**2
    vae = vae_halves * (0.5 * model.vae_kept_gib * GIB * area + wan_vae_work_bytes_half(width, height))
    free = card.memory_gib * GIB * (1 - SLACK) - CUDA_BYTES - GRAPH_BYTES - work - vae
    block = dit_weight_bytes(dit, "bf16") / dit.layers
    block += cache_bytes(dit, rows=steps, width=width, height=height) / dit.layers
    block += text_bytes(dit, text_tokens=TEXT_TOKENS) / dit.layers
    return max(0, int(free / block))


def wan_vae_work_bytes_half(width: int, height: int) -> int:
    """Activations of encoding or of decoding."""
    return wan_vae_work_bytes(WanVaeSizes(), width, height)[0]


def rank_cost(
    model: Counted, card: Card, size: Size, *, steps: int, encodes: bool, decodes: bool
) -> RankCost:
    """What a rank takes for a micro-step, in terms of the scheduler."""
    encode_ms, decode_ms = vae_ms(model, card, size)
    return RankCost(
        block_ms=block_ms(model, card, size),
        fixed_ms=(encodes * encode_ms + decodes * decode_ms) / steps,
        most_blocks=most_blocks(model, card, size, steps=steps, vae_halves=encodes + decodes),
    )
