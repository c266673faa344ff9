"""A model's text encoder gets its files from the catalogue's paths, and keeps its texts where caches are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.engine.streaming import clip
from tests.engine.tiny import random_weights, tiny_config
from tests.engine.wan.texts import PATIENCE_S
from tests.engine.wan.umt5 import DIM, LENGTH, random_umt5, write_tokenizer_json, write_wan

from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.engine.errors import TextError
from limner.engine.types import StreamSettings
from limner.models.entry import PartName
from limner.models.paths import cache_dir
from limner.worker.model_loading import connect_text
from limner.worker.model_source import ModelSource


def config() -> ModelConfig:
    tiny = tiny_config()
    table = dataclasses.asdict(tiny) | {"text": {"kind": "umt5", "dim": DIM, "length": LENGTH}}
    table["dit"]["text_dim"] = DIM
    return ModelConfig.from_table(table)


def source(paths: dict[PartName, Path]) -> ModelSource:
    return ModelSource(name="tiny", table={}, origin=Path("tiny.toml"), paths=paths)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Engine(config(), random_weights(config()), dtype=torch.float32)


def test_prompts_are_read_by_the_models_own_files_and_painted(engine: Engine, tmp_path: Path) -> None:
    encoder = write_wan(random_umt5(), tmp_path / "models_t5.pth")
    tokenizer = write_tokenizer_json(tmp_path / "tokenizer")
    connect_text(engine, source({"text_encoder": encoder, "tokenizer": tokenizer}))
    for prepared in engine.text.prepare(["an oil painting", "fog"]):
        prepared.result(PATIENCE_S)
    pictures = []
    for prompt in ("an oil painting", "fog"):
        stream = engine.open_stream(StreamSettings(prompt=prompt, strength=0.8), 32, 48)
        painted = stream.push(clip(1)[0])
        assert painted is not None and painted.text_note == ""
        pictures.append(painted.frames_TCHW)
    assert not torch.equal(*pictures)
    assert len(list((cache_dir() / "texts").iterdir())) == 2
    engine.close()


def test_without_files_the_source_is_shown_and_the_fault_said(engine: Engine, tmp_path: Path) -> None:
    connect_text(engine, source({"weights": tmp_path}))
    with pytest.raises(TextError, match="without a text encoder"):
        engine.text.encode("oil")
    stream = engine.open_stream(StreamSettings(prompt="oil", strength=0.8), 32, 48)
    with pytest.raises(TextError):
        engine.text.ask("oil").result(PATIENCE_S)
    painted = stream.push(clip(1)[0])
    assert painted is not None and painted.strength == 0
    assert painted.text_note.startswith("the prompt cannot be painted: the model was loaded without")
    engine.close()
