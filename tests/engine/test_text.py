from __future__ import annotations

import pytest
import torch

from limner.engine.text import TextConfig, WordText


@pytest.fixture
def text() -> WordText:
    torch.manual_seed(0)
    return WordText(TextConfig(dim=8, length=4, words=("oil", "painting", "neon", "warm", "dark")))


def test_known_words_become_rows_in_their_order(text: WordText) -> None:
    got = text.encode("An OIL painting, of Warm things")
    assert got.embedding_LD.shape == (4, 8)
    assert got.mask_L.tolist() == [True, True, True, False]
    assert torch.equal(got.embedding_LD[:3], text.table.weight[[1, 2, 4]])
    assert not got.embedding_LD[3].any()
    assert got.unknown == ("an", "of", "things")


@pytest.mark.parametrize("prompt", ["", "   ", "?!", "xyzzy plugh", "油絵"])
def test_nothing_known_gives_the_null_token(text: WordText, prompt: str) -> None:
    got = text.encode(prompt)
    assert got.mask_L.tolist() == [True, False, False, False]
    assert torch.equal(got.embedding_LD[0], text.table.weight[0])


def test_words_beyond_the_length_are_reported(text: WordText) -> None:
    got = text.encode("oil painting neon warm dark")
    assert got.mask_L.all() and got.unknown == ("dark",)


def test_training_sees_what_streaming_sees(text: WordText) -> None:
    prompts = ["neon", "", "oil painting, dark"]
    embedding, mask = text.embed(prompts)
    for row, prompt in enumerate(prompts):
        got = text.encode(prompt)
        assert torch.equal(embedding[row], got.embedding_LD) and torch.equal(mask[row], got.mask_L)


@pytest.mark.parametrize("words", [("Oil",), ("oil painting",), ("oil", "oil"), ("",)])
def test_bad_vocabularies_are_named(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"text\.words"):
        TextConfig(words=words)


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"text\.length"):
        TextConfig(length=0)
