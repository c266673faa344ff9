"""Train pocket's autoencoder: principal components first, then the residual networks around them.

Run `python -m limner.pocket.prepare` first. Resumable: start it again and it goes on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from limner.engine.vae import PocketVae, VaeConfig
from limner.pocket.prepare import open_video
from limner.pocket.runs import Clock, cosine, load_checkpoint, mixed_precision, pick_device, save_checkpoint

Video = NDArray[np.uint8]

GAIN_POWER = 0.6
"""How much of a channel's spread the normalisation takes away: 0 one scale for all, 1 whitening."""
LATENT_RMS = 1.3
"""Root mean square over all channels after normalisation."""


def sample_clips(rng: np.random.Generator, pools: Sequence[Video], batch: int, frames: int) -> Tensor:
    """Random crops [B, T, 3, 96, 160] in [−1, 1], mirrored at random, from all pools alike."""
    height, width = 96, 160
    out = np.empty((batch, frames, height, width, 3), np.uint8)
    for row in out:
        pool = pools[int(rng.integers(len(pools)))]
        n, t, h, w = (int(rng.integers(size)) for size in _choices(pool, frames, height, width))
        row[:] = pool[n, t : t + frames, h : h + height, w : w + width]
        if rng.random() < 0.5:
            row[:] = row[:, :, ::-1].copy()
    return torch.from_numpy(out).permute(0, 1, 4, 2, 3).float().div_(127.5).sub_(1)


def _choices(pool: Video, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
    return len(pool), pool.shape[1] - frames + 1, pool.shape[2] - height + 1, pool.shape[3] - width + 1


@torch.no_grad()
def set_principal_components(vae: PocketVae, clips_BTCHW: Tensor) -> None:
    """Set the two linear maps to the principal components of 4×8×8 blocks, and the normalisation to match."""
    batch, time_, _, height, width = clips_BTCHW.shape
    rows = functional.pixel_unshuffle(clips_BTCHW.reshape(batch * time_ // 4, 12, height, width), 4)
    blocks = (
        functional.unfold(rows, 2, stride=2).transpose(1, 2).flatten(0, 1)
    )  # [n, 192·2·2] as conv weights order it
    values, vectors = torch.linalg.eigh(blocks.T @ blocks / len(blocks))
    basis = vectors.flip(1)[:, : vae.config.latent_channels].T.contiguous()
    encoder, decoder = vae.encoder.linear, vae.decoder.linear
    encoder.weight.copy_(basis.reshape(encoder.weight.shape))
    cast(Tensor, encoder.bias).zero_()
    # The decoder's rows come out as frame · pixel_shuffle(2) of 48 channels: the same order as unfold's.
    decoder.weight.copy_(basis.T.reshape(decoder.weight.shape))
    cast(Tensor, decoder.bias).zero_()
    set_gain(vae, values.flip(0)[: vae.config.latent_channels].sqrt())


@torch.no_grad()
def set_gain(vae: PocketVae, std_C: Tensor) -> None:
    """Soften the spread of the channels and bring the whole to LATENT_RMS."""
    softened = std_C ** (1 - GAIN_POWER)
    scale = LATENT_RMS / softened.square().mean().sqrt()
    vae.gain.copy_(scale * std_C**-GAIN_POWER)


def reconstruction_loss(out_BTCHW: Tensor, target_BTCHW: Tensor) -> Tensor:
    """Error of values and of edges; bf16 where only signs matter, since memory traffic is what costs here."""
    error = out_BTCHW - target_BTCHW
    loss = 4 * functional.mse_loss(out_BTCHW, target_BTCHW)
    rough = error.bfloat16()
    edges = rough.diff(dim=-1).abs().mean() + rough.diff(dim=-2).abs().mean()
    return loss + rough.abs().mean() + 0.5 * edges


def psnr_db(out: Tensor, target: Tensor) -> float:
    """Peak signal to noise of pictures in [−1, 1]."""
    mse = (out.clamp(-1, 1) - target).square().mean().item()
    return float(10 * np.log10(4 / max(mse, 1e-12)))


def train(runs: Path, minutes: float, batch: int, seed: int) -> None:
    """Train for `minutes` of running time in all, over as many starts as it takes."""
    device = pick_device()
    pools = [open_video(runs / f"video_{name}.npy") for name in ("small", "large")]
    vae = PocketVae(VaeConfig()).to(device)
    optimiser = _optimiser(vae)
    path, step, clock = runs / "vae.pt", 0, Clock(budget_s=minutes * 60)
    saved = load_checkpoint(path)
    if saved is not None:
        vae.load_state_dict(saved["vae"])
        optimiser.load_state_dict(saved["optimiser"])
        step, clock.spent_s = saved["step"], saved["spent_s"]
    else:
        torch.manual_seed(seed)
        set_principal_components(vae, sample_clips(np.random.default_rng(seed), pools, 160, 4).to(device))
    rng = np.random.default_rng((seed, step))
    probe = sample_clips(np.random.default_rng(1), pools, 8, 12).to(device)
    saved_s = time.monotonic()
    while (progress := clock.tick()) < 1:
        for group in optimiser.param_groups:
            group["lr"] = group["peak_lr"] * cosine(progress)
        clips = sample_clips(rng, pools, batch, 12).to(device)
        with mixed_precision(device):
            latents = vae.encode(clips)
            # A little noise teaches the decoder to forgive a denoiser's small mistakes.
            out = vae.decode(latents + 0.03 * torch.randn_like(latents))
        loss = reconstruction_loss(out.float(), clips)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 0.5)
        optimiser.step()
        if step % 50 == 0:
            with torch.no_grad(), mixed_precision(device):
                quality = psnr_db(vae.decode(vae.encode(probe)).float(), probe)
            print(f"vae {step} {clock.spent_s:.0f}s loss {loss.item():.4f} psnr {quality:.2f} dB", flush=True)
        step += 1
        if time.monotonic() - saved_s > 90:
            _save(path, vae, optimiser, step, clock)
            saved_s = time.monotonic()
    _measure_gain(vae, pools, device)
    _save(path, vae, optimiser, step, clock)


def _optimiser(vae: PocketVae) -> torch.optim.Optimizer:
    """The linear maps start at their optimum (of linear maps), so they may move only slowly."""
    linear = [*vae.encoder.linear.parameters(), *vae.decoder.linear.parameters()]
    ids = {id(parameter) for parameter in linear}
    others = [parameter for parameter in vae.parameters() if id(parameter) not in ids]
    groups = [{"params": linear, "peak_lr": 1e-4}, {"params": others, "peak_lr": 1.2e-3}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3)


def _save(path: Path, vae: PocketVae, optimiser: torch.optim.Optimizer, step: int, clock: Clock) -> None:
    state = {
        "vae": vae.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "spent_s": clock.spent_s,
    }
    save_checkpoint(path, state)


@torch.no_grad()
def _measure_gain(vae: PocketVae, pools: Sequence[Video], device: torch.device) -> None:
    """Normalise by what the trained encoder gives, and not by what its linear start gave."""
    clips = sample_clips(np.random.default_rng(2), pools, 96, 8).to(device)
    with mixed_precision(device):
        raw = torch.cat([vae.encode(part).float() for part in torch.split(clips, 16)])
    raw = raw / vae.gain[:, None, None] + vae.shift[:, None, None]
    std = raw.transpose(1, 2).transpose(0, 1).flatten(1).std(1)
    vae.shift.copy_(raw.mean((0, 1, 3, 4)))
    set_gain(vae, std)
    print("raw std", [round(v, 2) for v in std.tolist()])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train pocket's autoencoder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--minutes", type=float, default=22)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    train(options.runs, options.minutes, options.batch, options.seed)


if __name__ == "__main__":
    main()
