"""Interpolated text goes evenly from one prompt to the other, and is each of them at the ends."""

from __future__ import annotations

import itertools

import pytest
import torch

from limner.engine.blend import SoftText, between, faded, mixed, slerp


def text(*tokens: list[float], length: int = 3) -> SoftText:
    embedding = torch.zeros(length, 2)
    weight = torch.zeros(length)
    for i, token in enumerate(tokens):
        embedding[i], weight[i] = torch.tensor(token), 1.0
    return SoftText(embedding_LE=embedding, weight_L=weight)


def test_slerp_goes_along_the_arc() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    assert torch.allclose(slerp(a, b, 0.5), torch.full((2,), 3 * 0.5**0.5))
    assert torch.allclose(slerp(a, b, 0.0), a)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-6)


@pytest.mark.parametrize("other", [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
def test_slerp_is_finite_for_equal_opposite_and_zero(other: list[float]) -> None:
    assert slerp(torch.tensor([1.0, 0.0]), torch.tensor(other), 0.3).isfinite().all()


def test_the_ends_are_the_prompts() -> None:
    a, b = text([1.0, 0.0], [0.0, 1.0]), text([0.0, 2.0])
    for share, end in ((0.0, a), (1.0, b)):
        got = between(a, b, share)
        assert torch.allclose(got.embedding_LE, end.embedding_LE, atol=1e-6)
        assert torch.allclose(got.weight_L, end.weight_L, atol=1e-6)


def test_a_token_that_only_one_has_comes_by_its_weight() -> None:
    got = between(text([1.0, 0.0]), text([1.0, 0.0], [0.0, 1.0]), 0.25)
    assert got.embedding_LE[1].tolist() == [0.0, 1.0]
    assert got.weight_L.tolist() == [1.0, pytest.approx((1000**0.25 - 1) / 999), 0.0]
    assert got.bias()[2] == -torch.inf


def test_a_mix_of_two_is_between_them() -> None:
    a, b = text([1.0, 0.0]), text([0.0, 1.0], [1.0, 1.0])
    got, wanted = mixed([a, b], [1.0, 3.0]), between(a, b, 0.75)
    assert torch.equal(got.embedding_LE, wanted.embedding_LE)
    assert torch.equal(got.weight_L, wanted.weight_L)


def test_padding_is_left_out_and_a_bias_is_there_only_when_it_says_something() -> None:
    whole = text([1.0, 0.0], [0.0, 1.0])
    tokens, bias = whole.tokens()
    assert tokens.tolist() == [[1.0, 0.0], [0.0, 1.0]] and bias is None
    tokens, bias = between(whole, text([1.0, 0.0]), 0.75).tokens()
    assert bias is not None and bias.exp().tolist() == [1.0, pytest.approx((1000**0.25 - 1) / 999)]
    assert len(tokens) == 2


def test_weights_fade_in_steps_of_one_ratio_both_ways() -> None:
    none, all_of_it = torch.zeros(1), torch.ones(1)
    up = [faded(none, all_of_it, i / 8).item() for i in range(9)]
    down = [faded(all_of_it, none, i / 8).item() for i in range(9)]
    assert up[0] == down[8] == 0 and up[8] == pytest.approx(1) and down[0] == pytest.approx(1)
    assert up == pytest.approx(down[::-1], rel=1e-4)
    assert [b / a for a, b in itertools.pairwise(up[4:])] == pytest.approx([1000 ** (1 / 8)] * 4, rel=0.05)
    assert faded(all_of_it, all_of_it, 0.3).item() == 1
    third = torch.tensor([0.3])
    assert faded(third, none, 0.0).item() == pytest.approx(0.3, rel=1e-4)
