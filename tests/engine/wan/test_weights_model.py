"""A model whose parts come in files of their own is the same model as from one file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.engine.tiny import random_weights, tiny_config
from torch import nn

from limner.engine.dit.linear import Linear
from limner.engine.engine import Engine
from limner.engine.errors import WeightsError
from limner.engine.files import ModelFiles
from limner.engine.loading import load_model
from limner.engine.types import StreamSettings
from limner.engine.weights import read_weights


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    weights = random_weights(tiny_config())
    paths = {}
    for part in ("dit", "vae", "text"):
        start = f"{part}."
        held = {
            key.removeprefix(start): value.contiguous()
            for key, value in weights.items()
            if key.startswith(start)
        }
        paths[part] = tmp_path / f"{part}.safetensors"
        save_file(held, paths[part])
    return ModelFiles(dit=paths["dit"], vae=paths["vae"], text_encoder=paths["text"], tokenizer=tmp_path)


def test_it_paints_the_same(files: ModelFiles) -> None:
    heard: list[tuple[str, int, int]] = []
    apart = Engine(tiny_config(), files, dtype=torch.float32, on_progress=lambda *told: heard.append(told))
    together = Engine(tiny_config(), random_weights(tiny_config()), dtype=torch.float32)
    chunk = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8)
    painted = [engine.open_stream(StreamSettings(prompt="oil")).push(chunk) for engine in (apart, together)]
    assert painted[0] is not None and painted[1] is not None
    assert torch.equal(painted[0].frames_TCHW, painted[1].frames_TCHW)
    for part, path in (("denoiser", files.dit), ("autoencoder", files.vae)):
        told = [(done, total) for name, done, total in heard if name == part]
        assert 0 < told[0][0] < told[-1][0] == told[-1][1] <= path.stat().st_size


def test_a_part_of_the_denoiser_is_there_and_in_its_type_when_it_is_full(files: ModelFiles) -> None:
    seen: dict[str, torch.dtype] = {}

    def on_full(name: str, module: nn.Module) -> None:
        if isinstance(module, Linear):
            assert module.weight.device.type == "cpu"
            seen[name] = module.weight.dtype

    load_model(tiny_config(), files, device=torch.device("cpu"), dtype=torch.bfloat16, on_full=on_full)
    assert seen["blocks.1.ffn.2"] == torch.bfloat16
    assert "head.head" in seen


def test_files_of_the_wrong_part_are_named(files: ModelFiles) -> None:
    swapped = dataclasses.replace(files, vae=files.dit, dit=files.vae)
    with pytest.raises(WeightsError, match=r"dit\.safetensors: .*it looks like a Wan denoiser"):
        Engine(tiny_config(), swapped)
    with pytest.raises(WeightsError, match=r"vae\.safetensors: lacks blocks"):
        Engine(tiny_config(), dataclasses.replace(files, dit=files.vae))


def test_the_key_of_the_checkpoint_is_the_files(files: ModelFiles, tmp_path: Path) -> None:
    averaged = {f"model.{key}": value for key, value in read_weights(files.dit).items()}
    torch.save({"generator": {"wrong": torch.zeros(1)}, "generator_ema": averaged}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"x\.pt: lacks .*"):
        Engine(tiny_config(), dataclasses.replace(files, dit=tmp_path / "x.pt"))
    Engine(tiny_config(), dataclasses.replace(files, dit=tmp_path / "x.pt", dit_key="generator_ema"))
