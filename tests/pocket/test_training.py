"""What the denoiser is asked for in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from limner.engine.config import ModelConfig
from limner.engine.dit.config import DiTConfig
from limner.engine.model import PocketModel
from limner.engine.text import TextConfig, WordText
from limner.engine.vae import VaeConfig
from limner.pocket.latents import VARIANTS, variants
from limner.pocket.prompts import WORDS
from limner.pocket.teachers import STYLES
from limner.pocket.train_decoder import Set, Training, decoding_loss, examples
from limner.pocket.train_dit import embed, sample_batch, teacher_share

TINY = ModelConfig(
    name="tiny",
    vae=VaeConfig(latent_channels=8, fine_width=8, coarse_width=8, frame_width=8),
    text=TextConfig(dim=16, length=8, words=WORDS),
    dit=DiTConfig(
        latent_channels=8, dim=32, ffn_dim=32, heads=2, layers=1, text_dim=16, window_frames=4, sink_frames=1
    ),
)


def test_the_teachers_share_rises_to_the_end_of_the_slider() -> None:
    share = teacher_share(torch.linspace(0, 1, 101))
    assert share[0] == 0
    assert (share.diff() > 0).all()
    assert abs(float(share[50]) - 1) < 0.05


def test_every_style_and_both_wishes_of_a_clip_differ() -> None:
    wishes = [variants(clip) for clip in range(400)]
    assert all(len(set(one)) == VARIANTS for one in wishes)
    assert {style for one in wishes for style, _ in one} == {None, *STYLES}


def test_texts_between_prompts_begin_and_end_with_them() -> None:
    text = WordText(TextConfig(dim=8, length=4, words=("oil", "neon", "warm")))
    pair = ("oil, warm", "neon")
    ends = embed(text, [((pair[0],), 0.0), ((pair[1],), 0.0)])
    mixed = embed(text, [(pair, 0.0), (pair, 1.0), (pair, 0.5)])
    assert torch.allclose(mixed.embedding_LE[:2], ends.embedding_LE, atol=1e-5)
    assert torch.allclose(mixed.weight_L[:2], ends.weight_L, atol=1e-6)
    assert 0 < mixed.weight_L[2, 1] < 1 and mixed.weight_L[2, 2:].sum() == 0


def test_a_batch_holds_a_clip_its_teachers_and_a_text() -> None:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(5, 1 + VARIANTS, 6, 8, 4, 6)).astype(np.float16)
    text = WordText(TextConfig(dim=8, length=8, words=WORDS))
    batch = sample_batch(rng, latents, 7, text, torch.device("cpu"))
    assert batch.source_BTCHW.shape == batch.original_BTCHW.shape == batch.taught_BTCHW.shape
    assert batch.source_BTCHW.shape == (7, 6, 8, 4, 6)
    assert batch.texts.embedding_LE.shape == (7, 8, 8)
    assert (batch.texts.weight_L.max(1).values > 0).all()


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoints of a tiny model, as train_vae and train_dit leave them."""
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)  # put back at the end
    model = PocketModel(TINY)
    torch.save({"vae": model.vae.state_dict()}, tmp_path / "vae.pt")
    average = {key: value for key, value in model.named_parameters() if not key.startswith("vae.")}
    torch.save({"average": {key: value.detach() for key, value in average.items()}}, tmp_path / "dit.pt")
    return tmp_path


def _clips() -> Set:
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (4, 24, 32, 48, 3)).astype(np.uint8)
    latents = rng.normal(size=(4, 1 + VARIANTS, 6, 8, 4, 6)).astype(np.float16)
    return Set(video=video, latents=latents)


def _changed(training: Training, steps: int) -> set[str]:
    """Parts of the model that some steps of training change."""
    before = {key: value.detach().clone() for key, value in training.model.named_parameters()}
    rng = np.random.default_rng(0)
    for _ in range(steps):
        latents, target = examples(training.model, _clips().draw(rng, 2), rng)
        training.update(decoding_loss(training.model.vae.decode(latents), target), 0.5)
    named = training.model.named_parameters()
    return {".".join(key.split(".")[:2]) for key, value in named if not torch.equal(value, before[key])}


def test_the_decoder_alone_and_then_the_denoiser_with_it(trained: Path) -> None:
    first = Training(trained, TINY, 1, whole=False)
    assert _changed(first, 3) == {"vae.decoder"}
    first.save()
    again = Training(trained, TINY, 1, whole=False)
    assert again.step == 3
    assert torch.equal(again.average["vae.decoder.out.weight"], first.average["vae.decoder.out.weight"])
    both = Training(trained, TINY, 1, whole=True)
    assert both.step == 0
    assert torch.equal(both.trained["vae.decoder.out.weight"], first.average["vae.decoder.out.weight"])
    parts_changed = _changed(both, 3)
    assert {"vae.decoder", "dit.blocks", "dit.head", "text.table"} <= parts_changed
    assert "vae.encoder" not in parts_changed
    both.save()
    assert (trained / "weights.safetensors").exists()


def test_without_the_trainings_before_it_says_which(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(FileNotFoundError, match="decoder alone first"):
        Training(trained, TINY, 1, whole=True)
    with pytest.raises(FileNotFoundError, match=r"vae\.pt and dit\.pt"):
        Training(tmp_path / "nowhere", TINY, 1, whole=False)
