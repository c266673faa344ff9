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
    assert got.text.embedding_LE.shape == (4, 8)
    assert got.text.weight_L.tolist() == [1, 1, 1, 0]
    assert torch.equal(got.text.embedding_LE[:3], text.table.weight[[1, 2, 4]])
    assert not got.text.embedding_LE[3].any()
    assert got.unknown == ("an", "of", "things")


@pytest.mark.parametrize(
    "prompt",
    ["", "   ", "?!", "xyzzy plugh", "油絵", "\U0001f3a8\U0001f525", "\0", "x" * 10_000, "\0 ? " * 2_500],
)
def test_nothing_known_gives_the_null_token(text: WordText, prompt: str) -> None:
    got = text.encode(prompt)
    assert got.text.weight_L.tolist() == [1, 0, 0, 0]
    assert torch.equal(got.text.embedding_LE[0], text.table.weight[0])


def test_words_beyond_the_length_are_reported(text: WordText) -> None:
    got = text.encode("oil painting neon warm dark")
    assert got.text.weight_L.all() and got.unknown == ("dark",)


def test_training_sees_what_streaming_sees(text: WordText) -> None:
    prompts = ["neon", "", "oil painting, dark"]
    embedding, mask = text.embed(prompts)
    for row, prompt in enumerate(prompts):
        got = text.encode(prompt)
        assert torch.equal(embedding[row], got.text.embedding_LE) and torch.equal(
            mask[row], got.text.weight_L > 0
        )


@pytest.mark.parametrize("words", [("Oil",), ("oil painting",), ("oil", "oil"), ("",)])
def test_bad_vocabularies_are_named(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"text\.words"):
        TextConfig(words=words)


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"text\.length"):
        TextConfig(length=0)


def test_noise_between_words_does_no_harm(text: WordText) -> None:
    assert text.encode("oil\0neon \U0001f3a8").text.weight_L.tolist() == [1, 1, 0, 0]
    long = text.encode("oil " * 2_500)
    assert long.text.weight_L.all() and long.unknown == ("oil",)


def test_texts_are_exact_enough_to_interpolate_whatever_the_model_computes_in(text: WordText) -> None:
    got = text.to(torch.bfloat16).encode("neon")
    assert got.text.embedding_LE.dtype == got.text.weight_L.dtype == torch.float32
