"""Weights files fit exactly or are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.tiny import random_weights, tiny_config
from torch import Tensor, nn

from limner.engine.engine import Engine
from limner.engine.errors import WeightsError
from limner.engine.weights import load_weights, save_weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "small.safetensors"
    save_weights(nn.Linear(3, 2), file, torch.float32)
    return file


def rewrite(path: Path, **changes: Tensor | None) -> None:
    tensors = {**load_file(path), **changes}
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, path)


def test_round_trip(path: Path) -> None:
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(one, path, torch.float32)
    load_weights(two, path)
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
    assert list(path.parent.iterdir()) == [path]


def test_keeps_the_modules_type(path: Path) -> None:
    module = nn.Linear(3, 2)
    save_weights(module, path)
    assert load_file(path)["weight"].dtype == torch.bfloat16
    load_weights(module, path)
    assert module.weight.dtype == torch.float32


def test_a_missing_key_is_named(path: Path) -> None:
    rewrite(path, bias=None)
    with pytest.raises(WeightsError, match=r"small\.safetensors: lacks bias"):
        load_weights(nn.Linear(3, 2), path)


def test_a_surplus_key_is_named(path: Path) -> None:
    rewrite(path, wings=torch.zeros(1))
    with pytest.raises(WeightsError, match=r"small\.safetensors: has unknown wings"):
        load_weights(nn.Linear(3, 2), path)


def test_a_wrong_shape_is_named_and_nothing_is_loaded(path: Path) -> None:
    rewrite(path, weight=torch.zeros(2, 4))
    module = nn.Linear(3, 2)
    before = module.bias.clone()
    with pytest.raises(WeightsError, match=r"small\.safetensors: weight .*\[2, 4\].*\[2, 3\]"):
        load_weights(module, path)
    assert torch.equal(module.bias, before)


@pytest.mark.parametrize("size", [0, 5, 40, -3])
def test_a_truncated_file_is_named(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"small\.safetensors"):
        load_weights(nn.Linear(3, 2), path)


def test_garbage_is_named(path: Path) -> None:
    path.write_bytes(b"these are no weights at all, but a letter to a friend" * 20)
    with pytest.raises(WeightsError, match=r"small\.safetensors"):
        load_weights(nn.Linear(3, 2), path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        load_weights(nn.Linear(3, 2), tmp_path / "none.safetensors")


def test_an_engine_refuses_the_weights_of_another_model() -> None:
    weights = random_weights(tiny_config())
    del weights["dit.blocks.1.norm3.weight"]
    with pytest.raises(WeightsError, match=r"dit\.blocks\.1\.norm3\.weight"):
        Engine(tiny_config(), weights)
