"""Train pocket's decoder on what its denoiser makes, in pixels; then, with `--whole`, both together.

The autoencoder learned to decode clean latents. What a small denoiser makes is not clean: soft where it is
unsure, and of one tone per token. The decoder's convolutions see across tokens, so it can learn to mend that.
Clean latents stay in the mixture, so that the autoencoder alone gets no worse. The encoder stays as it is.

Run after `limner.pocket.train_dit`, first without `--whole`, then with it. Resumable: start it again and it
goes on. Legend: B clips, T frames or latent frames, C channels, H×W pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limner.engine.config import ModelConfig
from limner.engine.model import PocketModel
from limner.engine.schedule import shifted
from limner.engine.vae import FRAMES_PER_LATENT
from limner.engine.weights import save_weights
from limner.pocket.latents import variants
from limner.pocket.prepare import open_video
from limner.pocket.prompts import make_prompt
from limner.pocket.runs import Clock, cosine, load_checkpoint, mixed_precision, pick_device, save_checkpoint
from limner.pocket.teachers import teach
from limner.pocket.train_dit import (
    embed,
    plain_attention,
    sample_noise,
    sample_strength,
    sample_wish,
    teacher_share,
)
from limner.pocket.train_vae import psnr_db, reconstruction_loss

PEAK_RATE, WHOLE_RATES = 8e-4, (4e-4, 4e-5)
"""Learning rates: of the decoder alone; of the decoder and of the denoiser when both are trained."""
SOURCE_SHARE, TAUGHT_SHARE = 0.3, 0.1
"""Shares of the rows that are clean latents: of the source, and of its teacher's version."""
STEADINESS = 3.0
"""Weight of the error of the change from frame to frame."""
PIECE = 3
"""Latent frames of a step of the decoder alone."""
KEPT = 0.98
TUNED = 0.65
"""Share of the tuned decoder in the shipped one; the rest is the autoencoder's own. What it mends is hardly
less, and the autoencoder alone loses half as much (WiSE-FT: Wortsman et al. 2022, arXiv 2109.01903)."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Clips, their latents and what their teachers make of them."""

    source_BTCHW: Tensor
    """Latents of the source."""
    taught_BTCHW: Tensor
    """Latents of the teacher's version."""
    source_BTHWC: Tensor
    """uint8."""
    steady_BTHWC: Tensor
    """The source without its noise where it stands still, uint8."""
    pixels_BTHWC: Tensor
    """The teacher's version, uint8."""
    prompts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Set:
    """One size of clips, mapped from disk."""

    video: NDArray[np.uint8]
    latents: NDArray[np.float16]

    def draw(self, rng: np.random.Generator, count: int) -> Rows:
        """Random clips, each under one of its wishes."""
        clips, choices = zip(*[sample_wish(rng, len(self.latents)) for _ in range(count)], strict=True)
        wishes = [variants(clip)[choice] for clip, choice in zip(clips, choices, strict=True)]
        videos = [np.asarray(self.video[clip]) for clip in clips]
        steady = [teach(video, None) for video in videos]
        latents = [np.asarray(self.latents[clip], np.float32) for clip in clips]
        return Rows(
            source_BTCHW=torch.from_numpy(np.stack([z[0] for z in latents])),
            taught_BTCHW=torch.from_numpy(
                np.stack([z[1 + i] for z, i in zip(latents, choices, strict=True)])
            ),
            source_BTHWC=torch.from_numpy(np.stack(videos)),
            steady_BTHWC=torch.from_numpy(np.stack(steady)),
            pixels_BTHWC=torch.from_numpy(
                np.stack([teach(video, *wish) for video, wish in zip(videos, wishes, strict=True)])
            ),
            prompts=tuple(make_prompt(rng, *wish) for wish in wishes),
        )


def pixels(frames_BTHWC: Tensor) -> Tensor:
    """uint8 [B, T, H, W, 3] → [B, T, 3, H, W] in [−1, 1]."""
    return frames_BTHWC.permute(0, 1, 4, 2, 3).float().div_(127.5).sub_(1)


def painted_latents(model: PocketModel, rows: Rows, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What the denoiser makes of the clips in one step, and the teacher's share [B] that was asked for."""
    strength_B = sample_strength(rng, len(rows.prompts)).to(rows.source_BTCHW.device)
    sigma_B = shifted(strength_B, model.config.schedule.shift)
    level = sigma_B.view(-1, 1, 1, 1, 1)
    x = torch.lerp(rows.source_BTCHW, sample_noise(rng, rows.source_BTCHW), level)
    text = embed(model.text, [((prompt,), 0.0) for prompt in rows.prompts])
    with mixed_precision(x.device):
        sigma_BT = sigma_B[:, None].repeat(1, x.shape[1])
        velocity = model.dit.forward_clip(x, sigma_BT, text.embedding_LE, text.bias())
    return x - level * velocity.float(), teacher_share(strength_B)


def examples(model: PocketModel, rows: Rows, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Latents to decode and the pixels that they should become."""
    painted, share_B = painted_latents(model, rows, rng)
    source, taught = pixels(rows.source_BTHWC), pixels(rows.pixels_BTHWC)
    target = torch.lerp(pixels(rows.steady_BTHWC), taught, share_B.view(-1, 1, 1, 1, 1)).clamp_(-1, 1)
    kind_B = torch.from_numpy(rng.random(len(painted))).view(-1, 1, 1, 1, 1)
    is_source, is_taught = kind_B < SOURCE_SHARE, kind_B >= 1 - TAUGHT_SHARE
    for chosen, latents, frames in (
        (is_source.to(target.device), rows.source_BTCHW, source),
        (is_taught.to(target.device), rows.taught_BTCHW, taught),
    ):
        painted, target = torch.where(chosen, latents, painted), torch.where(chosen, frames, target)
    return painted, target


def parts(latents_BTCHW: Tensor, target_BTCHW: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Clips in pieces of `size` latent frames: a step each, as the decoder remembers only one step back."""
    pieces = torch.split(latents_BTCHW, size, dim=1)
    yield from zip(pieces, torch.split(target_BTCHW, size * FRAMES_PER_LATENT, dim=1), strict=True)


def decoding_loss(out_BTCHW: Tensor, target_BTCHW: Tensor) -> Tensor:
    """Error of values, of edges, and of the change from frame to frame."""
    change = (out_BTCHW - target_BTCHW).bfloat16().diff(dim=1).abs().mean()
    return reconstruction_loss(out_BTCHW, target_BTCHW) + STEADINESS * change


def load_trained(runs: Path, config: ModelConfig) -> PocketModel:
    """The averaged denoiser and the autoencoder, as the other trainings left them."""
    saved, autoencoder = load_checkpoint(runs / "dit.pt"), load_checkpoint(runs / "vae.pt")
    if saved is None or autoencoder is None:
        raise FileNotFoundError(f"{runs} needs vae.pt and dit.pt: run train_vae and train_dit first")
    model = PocketModel(config)
    model.vae.load_state_dict(autoencoder["vae"])
    for key, value in model.named_parameters():
        if key in saved["average"]:
            value.data.copy_(saved["average"][key])
    return model


def load_average(model: PocketModel, path: Path) -> None:
    """Fill in the averaged weights that a checkpoint of this training holds."""
    saved = load_checkpoint(path)
    if saved is None:
        raise FileNotFoundError(f"{path} is missing: train the decoder alone first")
    for key, value in model.named_parameters():
        if key in saved["average"]:
            value.data.copy_(saved["average"][key])


@torch.no_grad()
def mix_decoders(model: PocketModel, own: PocketModel, share: float) -> None:
    """Bring the model's decoder back towards another's: `share` of its own weights stay."""
    for value, before in zip(model.vae.decoder.parameters(), own.vae.decoder.parameters(), strict=True):
        value.copy_(torch.lerp(before, value, share))


class Training:
    """The model, what of it is trained, its optimiser and average, and the clock: what a checkpoint holds."""

    def __init__(self, runs: Path, config: ModelConfig, minutes: float, *, whole: bool) -> None:
        self.runs, self.device, self.whole = runs, pick_device(), whole
        if self.device.type == "cpu":
            nn.functional.scaled_dot_product_attention = plain_attention  # type: ignore[assignment]
        self.model = load_trained(runs, config).to(self.device)
        if whole:
            load_average(self.model, runs / "decoder.pt")
        self.model.requires_grad_(False)
        named = dict(self.model.named_parameters())
        self.trained = {key: named[key].requires_grad_() for key in named if self._is_trained(key)}
        self.optimiser = self._optimiser()
        self.average = {key: value.detach().clone() for key, value in self.trained.items()}
        self.step, self.clock = 0, Clock(budget_s=minutes * 60)
        self.path = runs / ("whole.pt" if whole else "decoder.pt")
        self._restore()

    def _is_trained(self, key: str) -> bool:
        return key.startswith("vae.decoder.") or (self.whole and key.startswith(("dit.", "text.")))

    def _optimiser(self) -> torch.optim.Optimizer:
        decoder_rate, denoiser_rate = WHOLE_RATES if self.whole else (PEAK_RATE, 0.0)
        decoder = [value for key, value in self.trained.items() if key.startswith("vae.")]
        denoiser = [value for key, value in self.trained.items() if not key.startswith("vae.")]
        groups = [
            {"params": decoder, "peak_lr": decoder_rate},
            {"params": denoiser, "peak_lr": denoiser_rate},
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=1e-3, betas=(0.9, 0.98))

    def _restore(self) -> None:
        saved = load_checkpoint(self.path)
        if saved is None:
            return
        for key, value in self.trained.items():
            value.data.copy_(saved["model"][key])
        self.average = saved["average"]
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.clock.spent_s = saved["step"], saved["spent_s"]

    def update(self, loss: Tensor, progress: float) -> None:
        """One step of the optimiser and of the average."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak_lr"] * cosine(progress)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained.values(), 0.5, error_if_nonfinite=True)
        self.optimiser.step()
        self.step += 1
        keep = min(KEPT, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            for key, value in self.trained.items():
                self.average[key].lerp_(value, 1 - keep)

    def save(self) -> None:
        """Checkpoint, and the whole model with averaged weights as the engine loads it."""
        state = {
            "model": {key: value.detach() for key, value in self.trained.items()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent_s": self.clock.spent_s,
        }
        save_checkpoint(self.path, state)
        averaged = PocketModel(self.model.config)
        averaged.load_state_dict(self.model.state_dict())
        load_average(averaged, self.path)
        mix_decoders(averaged, load_trained(self.runs, averaged.config), TUNED)
        save_weights(averaged, self.runs / "weights.safetensors")


def drawn(sets: Sequence[Set], rng: np.random.Generator, batch: int, large_share: float) -> Iterator[Rows]:
    """Endless rows; the next ones are taught on a thread of their own meanwhile."""

    def draw() -> Rows:
        is_large = len(sets) > 1 and rng.random() < large_share
        return sets[1].draw(rng, max(1, batch // 4)) if is_large else sets[0].draw(rng, batch)

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(draw)
        while True:
            ready, following = following.result(), pool.submit(draw)
            yield ready


def train(training: Training, sets: Sequence[Set], batch: int, large_share: float, seed: int) -> None:
    """Train until the clock's budget is spent."""
    model = training.model
    rng = np.random.default_rng((seed, training.step))
    rows_rng = np.random.default_rng((seed + 1, training.step))
    torch.manual_seed(seed + training.step)
    saved_s, losses, quality = time.monotonic(), [], []
    for rows in drawn(sets, rows_rng, batch, large_share):
        progress = training.clock.tick()
        if progress >= 1:
            break
        with torch.set_grad_enabled(training.whole):
            latents_BTCHW, target_BTCHW = examples(model, rows, rng)
        size = latents_BTCHW.shape[1] if training.whole else PIECE
        for latents, target in parts(latents_BTCHW, target_BTCHW, size):
            with mixed_precision(training.device):
                out = model.vae.decode(latents)
            loss = decoding_loss(out.float(), target)
            training.update(loss, progress)
            losses.append(loss.item())
            quality.append(psnr_db(out.detach().float(), target))
        if len(losses) >= 50:
            spent_s = training.clock.spent_s
            report = f"loss {np.mean(losses):.4f} psnr {np.mean(quality):.2f} dB"
            print(f"decoder {training.step} {spent_s:.0f}s {report}", flush=True)
            losses.clear()
            quality.clear()
        if time.monotonic() - saved_s > 120:
            training.save()
            saved_s = time.monotonic()
    training.save()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train pocket's decoder on what its denoiser makes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("pocket.toml"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--large-share", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="the denoiser too, after the decoder alone")
    options = parser.parse_args(arguments)
    sets = [
        Set(
            video=open_video(options.runs / f"video_{name}.npy"),
            latents=np.load(options.runs / f"latents_{name}.npy", mmap_mode="r"),
        )
        for name in ("small", "large")
    ]
    config = ModelConfig.from_toml(options.config)
    training = Training(options.runs, config, options.minutes, whole=options.whole)
    train(training, sets, options.batch, options.large_share, options.seed)


if __name__ == "__main__":
    main()
