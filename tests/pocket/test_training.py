"""What the denoiser is asked for in training."""

from __future__ import annotations

import numpy as np
import torch

from limner.engine.text import TextConfig, WordText
from limner.pocket.latents import VARIANTS, variants
from limner.pocket.prompts import WORDS
from limner.pocket.teachers import STYLES
from limner.pocket.train_dit import embed, sample_batch, teacher_share


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
