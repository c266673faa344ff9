"""A tiny Wan with random weights, in the files that people have of the real one, and its TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from tests.engine.wan.umt5 import DIM, random_umt5, write_tokenizer_json, write_wan
from torch import nn

from limner.engine.model import Model
from limner.models.catalogue import load
from limner.worker.model_loading import config_of
from limner.worker.model_source import ModelSource

SIZE = (96, 96)
NAME = "tiny-wan"
# All else, its parts with their repositories too, is as the real model has it.
TOML = f"""
base = "wan-1.3b"
title = "Tiny Wan"
[engine]
sizes = [[96, 96]]
default_size = [96, 96]
[engine.vae]
{{vae}}
[engine.text]
dim = {DIM}
length = 16
[engine.dit]
dim = 48
ffn_dim = 64
heads = 2
layers = 2
text_dim = {DIM}
freq_dim = 16
"""
VAES = {
    "wan": "base_dim = 4",
    "taehv": 'kind = "taehv"\nencoder_width = 8\ndecoder_widths = [16, 8, 8, 8]\nnormalise_encoded = false',
}


def write_toml(own: Path, vae: Literal["wan", "taehv"]) -> None:
    """Put the model into the user's catalogue."""
    own.mkdir(parents=True, exist_ok=True)
    (own / f"{NAME}.toml").write_text(TOML.format(vae=VAES[vae]))


def write_files(own: Path, folder: Path) -> Path:
    """Write what the hub's repositories hold; the catalogue in `own` must have the model."""
    entry = load(own=own).find(NAME)
    config = config_of(ModelSource(name=NAME, table=entry.engine, origin=entry.source, paths={}))
    torch.manual_seed(0)
    model = Model(config)
    for parameter in model.dit.parameters():
        nn.init.normal_(parameter, std=0.15)
    distilled = {f"model.{key}": value for key, value in model.dit.state_dict().items()}
    _save({"generator": distilled}, folder / "StreamDiffusionV2/wan_causal_dmd_v2v/model.pt")
    assert isinstance(model.vae, nn.Module)
    base = folder / "Wan2.1-T2V-1.3B"
    places = {"wan": base / "Wan2.1_VAE.pth", "taehv": folder / "Autoencoders/taew2_1.pth"}
    for place in places.values():
        # The other one is not loaded, only looked at.
        _save(model.vae.state_dict(), place)
    write_wan(random_umt5(), base / "models_t5_umt5-xxl-enc-bf16.pth")
    tokenizer = base / "google" / "umt5-xxl"
    tokenizer.parent.mkdir()
    write_tokenizer_json(tokenizer)
    (tokenizer / "source" / "spiece.model").rename(tokenizer / "spiece.model")
    return folder


def _save(value: object, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, place)
