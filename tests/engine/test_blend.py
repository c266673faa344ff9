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


def wan_text(tokens: int, length: int = 6, seed: int = 0) -> SoftText:
    """As Wan has it: a prompt's tokens, then zeros that count as well."""
    rows = torch.randn(tokens, 3, generator=torch.Generator().manual_seed(seed))
    return SoftText(embedding_LE=rows, weight_L=torch.ones(tokens), zeros=length - tokens)


def whole(text: SoftText) -> torch.Tensor:
    return torch.cat([text.embedding_LE, torch.zeros(text.zeros, text.embedding_LE.shape[1])])


@pytest.mark.parametrize(("a", "b"), [(2, 4), (4, 2), (3, 3), (6, 1), (6, 6)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_zeros_that_are_not_kept_are_as_zeros_that_are(a: int, b: int, share: float) -> None:
    short, long = wan_text(a), wan_text(b, seed=1)
    kept = [SoftText(embedding_LE=whole(one), weight_L=torch.ones(6)) for one in (short, long)]
    got, wanted = between(short, long, share), between(kept[0], kept[1], share)
    assert got.length == 6 and torch.equal(whole(got), wanted.embedding_LE)
    assert got.weight_L.eq(1).all() and got.tokens()[1] is None
    for end, one in ((0.0, short), (1.0, long)):
        if share == end:
            assert torch.allclose(whole(got), whole(one), atol=1e-6)


def test_what_comes_from_zero_comes_evenly_by_its_length() -> None:
    zero, token = torch.zeros(2, 3), torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    for share in (0.0, 0.25, 0.5, 1.0):
        assert torch.equal(slerp(zero, token, share), share * token)
        assert torch.allclose(slerp(token, zero, share), (1 - share) * token)


def test_a_mix_of_four_lengths_has_all_their_tokens() -> None:
    texts = [wan_text(tokens, seed=tokens) for tokens in (1, 5, 2, 3)]
    got = mixed(texts, [1.0, 1.0, 1.0, 1.0])
    assert (len(got.embedding_LE), got.zeros) == (5, 1)
    assert got.embedding_LE.norm(dim=1).min() > 0 and got.embedding_LE.isfinite().all()
