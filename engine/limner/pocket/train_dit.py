"""Train pocket's denoiser and text table together, on latents that `limner.pocket.latents` has made.

Video to video: the model sees the *source's* latent at a noise level sigma, x = (1 − sigma)·z +
sigma·noise, and a prompt, and must name the clean latent of what the prompt's teacher makes of the source.
How much of the teacher is asked for rises with the strength (`teacher_share`), so that the slider is smooth.
In a part of the samples the source is styled already, which is what later denoising steps see. In another
part the text is between two prompts, and so is the target: what a live change and a mix of prompts are.

Legend: B clips, T latent frames, C channels, H×W latent pixels. Resumable: start it again and it goes on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limner.engine.blend import SoftText, between
from limner.engine.config import ModelConfig
from limner.engine.model import PocketModel
from limner.engine.schedule import shifted
from limner.engine.text import WordText
from limner.engine.weights import save_weights
from limner.pocket.latents import VARIANTS, variants
from limner.pocket.prompts import make_prompt
from limner.pocket.runs import Clock, cosine, load_checkpoint, mixed_precision, pick_device, save_checkpoint

Latents = NDArray[np.floating[Any]]
Forward = Callable[..., Tensor]

FRAMES = 6
"""Latent frames of a clip, more than the window: the rolling of the cache is trained too."""
CHUNKS = {1: 0.88, 2: 0.08, 3: 0.04}
"""Latent frames of a chunk → share of the steps that train it. Each divides FRAMES."""
STYLED_SOURCES = 0.22
BETWEEN_PROMPTS = 0.15
FULL_STYLE_STRENGTH = 0.45
EXAGGERATION = 0.8
"""Growth of the teacher's share per strength beyond FULL_STYLE_STRENGTH: 1.44 at strength 1."""
LARGE_FROM = 0.25
"""Part of the training after which large clips join: they cost four times as much."""
DRAWN = frozenset({"oil painting", "pencil sketch", "neon", "noir", "cartoon", "watercolor"})
"""Styles of lines, daubs and local contrast, which take longer to learn than those of tone."""
TONES_KEPT = 0.45
STALE_SINKS = 0.25
EMPTY_PROMPTS = 0.04
ANCHORS = 16
ANCHOR_SIZE = 12.0
PEAK_RATES = (3e-3, 1.2e-3)
"""Learning rates of Muon and AdamW."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one training step needs, on the device."""

    source_BTCHW: Tensor
    """Latents that the noise is put on."""
    original_BTCHW: Tensor
    """Latents that strength 0 gives back: the source."""
    taught_BTCHW: Tensor
    """Latents of the teacher's version."""
    texts: SoftText
    """[B, L, E]"""


def teacher_share(strength: Tensor) -> Tensor:
    """Share of the teacher that is asked for: 0 at strength 0, 1 at FULL_STYLE_STRENGTH, then exaggerated."""
    x = (strength / FULL_STYLE_STRENGTH).clamp(0, 1)
    return x * x * (3 - 2 * x) + EXAGGERATION * (strength - FULL_STYLE_STRENGTH).clamp(min=0)


@dataclass
class _Row:
    """One sample before it joins the batch; latents [T, C, H, W]."""

    source: Latents
    original: Latents
    taught: Latents
    prompts: tuple[str, ...]
    share: float = 0.0
    """Of the second prompt, when there are two."""


def sample_wish(rng: np.random.Generator, clips: int) -> tuple[int, int]:
    """A clip and one of its wishes; those whose style is mere tone are drawn less often."""
    while True:
        clip, choice = int(rng.integers(clips)), int(rng.integers(VARIANTS))
        if variants(clip)[choice][0] in DRAWN or rng.random() < TONES_KEPT:
            return clip, choice


def _sample_row(rng: np.random.Generator, latents: Latents) -> _Row:
    clip, first = sample_wish(rng, len(latents))
    start = int(rng.integers(latents.shape[2] - FRAMES + 1))
    original, *taught = np.asarray(latents[clip, :, start : start + FRAMES], np.float32)
    prompts = [make_prompt(rng, *wish) for wish in variants(clip)]
    if rng.random() < EMPTY_PROMPTS:
        return _Row(original, original, original, ("",))
    if rng.random() < BETWEEN_PROMPTS:
        second = (first + 1) % VARIANTS
        share = float(rng.random())
        target = taught[first] * (1 - share) + taught[second] * share
        return _Row(original, original, target, (prompts[first], prompts[second]), share)
    if rng.random() < STYLED_SOURCES:
        return _Row(taught[first], taught[first], taught[first], (prompts[first],))
    return _Row(original, original, taught[first], (prompts[first],))


def embed(text: WordText, rows: Sequence[tuple[tuple[str, ...], float]]) -> SoftText:
    """One prompt a row, or two and the share of the second: [B, L, E]."""
    soft = []
    for prompts, share in rows:
        ends = []
        for prompt in prompts:
            embedding, mask = text.embed([prompt])
            ends.append(SoftText(embedding_LE=embedding[0], weight_L=mask[0].float()))
        with torch.no_grad():  # The arc between two equal vectors has no derivative.
            middle = between(ends[0], ends[-1], share)
        soft.append(ends[0] if len(ends) == 1 else middle)
    return SoftText(
        embedding_LE=torch.stack([one.embedding_LE for one in soft]),
        weight_L=torch.stack([one.weight_L for one in soft]),
    )


def sample_batch(
    rng: np.random.Generator, latents: Latents, batch: int, text: WordText, device: torch.device
) -> Batch:
    """Random clips, each under one of its wishes or between two."""
    rows = [_sample_row(rng, latents) for _ in range(batch)]

    def stacked(parts: Sequence[Latents]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(device)

    return Batch(
        source_BTCHW=stacked([row.source for row in rows]),
        original_BTCHW=stacked([row.original for row in rows]),
        taught_BTCHW=stacked([row.taught for row in rows]),
        texts=embed(text, [(row.prompts, row.share) for row in rows]),
    )


def sample_strength(rng: np.random.Generator, batch: int) -> Tensor:
    """A third of the strengths anywhere, the rest where people will have the slider."""
    anywhere, usual = rng.uniform(0.02, 1, batch), rng.normal(0.5, 0.12, batch)
    strength = np.where(rng.random(batch) < 0.35, anywhere, np.clip(usual, 0.02, 1))
    return torch.from_numpy(strength.astype(np.float32))


def sample_noise(rng: np.random.Generator, like_BTCHW: Tensor) -> Tensor:
    """One field for the whole clip in half of the clips, fresh in every latent frame in the others."""
    noise = torch.randn_like(like_BTCHW)
    static_B = torch.from_numpy(rng.random(len(noise)) < 0.5).to(noise.device)
    return torch.where(static_B.view(-1, 1, 1, 1, 1), noise[:, :1], noise)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Attention as two products: on CPUs, at these sizes, twice as fast to train as torch's fused kernel."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if attn_mask is not None:
        scores = scores + attn_mask
    weights: Tensor = scores.softmax(-1).to(v.dtype)
    return weights @ v


def denoising_loss(
    model: PocketModel, batch: Batch, rng: np.random.Generator, forward: Forward, chunk_frames: int
) -> Tensor:
    """Error of the clean latent that the model names, weighted so that small noise levels count too."""
    strength_B = sample_strength(rng, len(batch.source_BTCHW)).to(batch.source_BTCHW.device)
    sigma_B = shifted(strength_B, model.config.schedule.shift)
    level = sigma_B.view(-1, 1, 1, 1, 1)
    x = torch.lerp(batch.source_BTCHW, sample_noise(rng, batch.source_BTCHW), level)
    share = teacher_share(strength_B).view(-1, 1, 1, 1, 1)
    target = torch.lerp(batch.original_BTCHW, batch.taught_BTCHW, share)
    stale_B = torch.from_numpy(rng.random(len(x)) < STALE_SINKS).to(x.device).view(-1, 1, 1, 1, 1)
    # After hours of streaming, the sink shows something else altogether: what another clip begins with.
    x[:, :1] = torch.where(stale_B, x[:, :1].roll(1, 0), x[:, :1])
    texts = batch.texts
    with mixed_precision(x.device):
        sigma_BT = sigma_B[:, None].repeat(1, x.shape[1])
        velocity = forward(x, sigma_BT, texts.embedding_LE, texts.bias(), chunk_frames=chunk_frames)
    error = x - level * velocity.float() - target
    counts = torch.ones_like(error[:, :, :1, :1, :1])
    counts[:, :1] = torch.where(stale_B, 0.0, 1.0)
    smooth = (error.square() + 1).sqrt() - 1  # like a square for small errors, like L1 for large ones
    # The channels that hold colour and shape count more, as they do in pixels, though not as much as there.
    weight = 1 / model.vae.gain
    smooth = smooth * (weight / weight.mean()).view(-1, 1, 1)
    return (smooth * counts / (0.3 + level)).mean()


def make_optimisers(model: PocketModel) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest. The autoencoder stays as it is."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in [*model.dit.named_parameters(), *model.text.named_parameters()]:
        (matrices if name.startswith("blocks.") and parameter.ndim == 2 else others).append(parameter)
    muon = torch.optim.Muon(
        matrices, lr=PEAK_RATES[0], momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(others, lr=PEAK_RATES[1], betas=(0.9, 0.98), weight_decay=0.0)
    return [muon, adamw]


@torch.no_grad()
def limit_matrices(model: PocketModel) -> None:
    """Keep the matrices of the blocks from growing, lest what they add drown the latent in the stream.

    A square matrix of ones' singular values has entries of RMS dim^-0.5; the limit is a little above that.
    """
    for name, parameter in model.dit.blocks.named_parameters():
        if parameter.ndim == 2:
            limit = 1.2 * max(parameter.shape) ** -0.5 * (2.0 if name.endswith("ffn.0.weight") else 1.0)
            rms = parameter.square().mean().sqrt()
            parameter.mul_((limit / rms).clamp(max=1.0))


@torch.no_grad()
def initialise(model: PocketModel) -> None:
    """Start where a short training gets far: open gates, small branches, audible words, linear norms.

    Wan's own start leaves the gates at about 0.06 and the text near zero. And a layer norm divides by each
    token's own size, which the velocity, an absolute quantity, would have to be given back. So a few channels
    (the anchors) hold large constants: the norms then divide by nearly the same number everywhere, and the
    modulations take the anchors out again and bring the rest back to size.
    """
    dit = model.dit
    signs = torch.ones(ANCHORS)
    signs[::2] = -1
    gain = (ANCHORS * ANCHOR_SIZE**2 / dit.config.dim + 1) ** 0.5
    restore = torch.full((dit.config.dim,), gain)
    restore[:ANCHORS] = 0.0
    nn.init.orthogonal_(patch := torch.empty(dit.config.dim - ANCHORS, dit.patch_embedding.weight[0].numel()))
    dit.patch_embedding.weight[ANCHORS:] = patch.view(-1, *dit.patch_embedding.weight.shape[1:])
    dit.patch_embedding.weight[:ANCHORS] = 0.0
    cast(Tensor, dit.patch_embedding.bias)[:ANCHORS] = signs * ANCHOR_SIZE
    dit.head.modulation[:, 1] = restore - 1
    for block in dit._blocks():
        for scale, gate in ((1, 2), (4, 5)):
            block.modulation[:, scale] = restore - 1
            block.modulation[:, gate] = 1.0
        block.norm3.weight.copy_(restore)
        for branch in (block.self_attn.o, block.cross_attn.o, cast(nn.Linear, block.ffn[2])):
            branch.weight.mul_(0.2)
    for name, parameter in dit.text_embedding.named_parameters():
        if name.endswith("weight"):
            nn.init.xavier_uniform_(parameter)
    nn.init.normal_(model.text.table.weight)


class Training:
    """Model, averaged weights, optimisers and progress, saved and restored together."""

    def __init__(self, runs: Path, config: ModelConfig, minutes: float, seed: int) -> None:
        self.runs, self.config, self.seed = runs, config, seed
        self.device = pick_device()
        if self.device.type == "cpu":
            nn.functional.scaled_dot_product_attention = plain_attention  # type: ignore[assignment]
        torch.manual_seed(seed)
        self.model = PocketModel(config).to(self.device)
        initialise(self.model)
        self.optimisers = make_optimisers(self.model)
        self.step, self.clock = 0, Clock(budget_s=minutes * 60)
        self._restore()
        self.model.vae.requires_grad_(False)

    def begin_with(self, path: Path) -> None:
        """Take over another training's averaged weights; words appended since start as they are."""
        saved = load_checkpoint(path)
        if saved is None:
            raise FileNotFoundError(f"{path} is missing")
        for key, value in self._trained().items():
            before = saved["average"][key]
            value.data[: len(before)].copy_(before)
            self.average[key].copy_(value.data)

    def _restore(self) -> None:
        saved = load_checkpoint(self.runs / "dit.pt")
        autoencoder = load_checkpoint(self.runs / "vae.pt")
        if autoencoder is None:
            raise FileNotFoundError(f"{self.runs / 'vae.pt'} is missing: run limner.pocket.train_vae first")
        self.model.vae.load_state_dict(autoencoder["vae"])
        trained = self._trained()
        self.average = {key: value.detach().clone() for key, value in trained.items()}
        if saved is None:
            return
        for key, value in trained.items():
            value.data.copy_(saved["model"][key])
            self.average[key].copy_(saved["average"][key])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step, self.clock.spent_s = saved["step"], saved["spent_s"]
        torch.manual_seed(self.seed + self.step)

    def _trained(self) -> dict[str, nn.Parameter]:
        parameters = dict(self.model.named_parameters())
        return {key: value for key, value in parameters.items() if not key.startswith("vae.")}

    def save(self) -> None:
        """Checkpoint, and the averaged weights as the engine loads them."""
        trained = self._trained()
        state = {
            "model": {key: value.detach() for key, value in trained.items()},
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "spent_s": self.clock.spent_s,
        }
        save_checkpoint(self.runs / "dit.pt", state)
        averaged = PocketModel(self.config)
        averaged.load_state_dict(self.model.state_dict())
        for key, value in averaged.named_parameters():
            if key in self.average:
                value.data.copy_(self.average[key])
        save_weights(averaged, self.runs / "weights.safetensors")

    def update(self, loss: Tensor, progress: float) -> float:
        """One step of both optimisers and of the average; returns the gradient's norm."""
        for optimiser, peak in zip(self.optimisers, PEAK_RATES, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * cosine(progress)
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        trained = self._trained()
        norm = float(torch.nn.utils.clip_grad_norm_(trained.values(), 1.0, error_if_nonfinite=True))
        for optimiser in self.optimisers:
            optimiser.step()
        limit_matrices(self.model)
        self.step += 1
        keep = min(0.997, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            for key, value in trained.items():
                self.average[key].lerp_(value, 1 - keep)
        return norm


def train(training: Training, batch: int, large_share: float, compiled: bool) -> None:
    """Train until the clock's budget is spent. Large clips come in later: small ones cost a quarter."""
    runs, device = training.runs, training.device
    small = np.load(runs / "latents_small.npy", mmap_mode="r")
    large_file = runs / "latents_large.npy"
    rng = np.random.default_rng((training.seed, training.step))
    eager = training.model.dit.forward_clip
    # Compiled for chunks of one latent frame at each size: 1.4 times faster a step, some minutes once.
    forward: Forward = torch.compile(eager, dynamic=False) if compiled else eager
    saved_s, losses = time.monotonic(), []
    while (progress := training.clock.tick()) < 1:
        is_large = progress > LARGE_FROM and rng.random() < large_share and large_file.exists()
        pool = np.load(large_file, mmap_mode="r") if is_large else small
        rows = max(2, batch // 4) if is_large else batch
        samples = sample_batch(rng, pool, rows, training.model.text, device)
        chunk_frames = int(rng.choice(list(CHUNKS), p=list(CHUNKS.values())))
        path = forward if chunk_frames == 1 else eager
        loss = denoising_loss(training.model, samples, rng, path, chunk_frames)
        norm = training.update(loss, progress)
        losses.append(loss.item())
        if training.step % 50 == 0:
            spent_s = training.clock.spent_s
            print(
                f"dit {training.step} {spent_s:.0f}s loss {np.mean(losses):.4f} norm {norm:.2f}", flush=True
            )
            losses.clear()
        if time.monotonic() - saved_s > 120:
            training.save()
            saved_s = time.monotonic()
    training.save()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train pocket's denoiser."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("pocket.toml"))
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--large-share", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--start", type=Path, help="dit.pt of another training, to begin with")
    options = parser.parse_args(arguments)
    config = ModelConfig.from_toml(options.config)
    training = Training(options.runs, config, options.minutes, options.seed)
    if options.start and training.step == 0:
        training.begin_with(options.start)
    train(training, options.batch, options.large_share, options.compile)


if __name__ == "__main__":
    main()
