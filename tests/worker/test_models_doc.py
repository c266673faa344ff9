"""docs/models.md is what the code says, and the built-in models are what the engine takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from limner.engine.config import TEXTS, VAES, ModelConfig
from limner.models.catalogue import load
from limner.models.entry import Entry
from limner.worker.check_model import main
from limner.worker.model_loading import config_of
from limner.worker.model_source import ModelSource
from limner.worker.models_doc import render

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
BUILT_IN = list(load(own=Path("/nonexistent")))


def config(entry: Entry) -> ModelConfig:
    return config_of(ModelSource(name=entry.name, table=entry.engine, origin=entry.source, paths={}))


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), (
        "docs/models.md is old; run: python -m limner.worker.models_doc > docs/models.md"
    )


def test_it_explains_every_key() -> None:
    text = render()
    fields = {field.name: field for field in dataclasses.fields(ModelConfig)}
    tables = [*VAES.values(), *TEXTS.values(), *(type(getattr(config(BUILT_IN[0]), name)) for name in fields)]
    for table in tables:
        if dataclasses.is_dataclass(table):
            for field in dataclasses.fields(table):
                assert f"| `{field.name}` |" in text, f"{table}.{field.name}"


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: str(entry.name))
def test_the_engine_takes_the_built_in_models(entry: Entry) -> None:
    built = config(entry)
    assert built.name == entry.name
    assert (built.sizes, built.default_size) == (entry.sizes, entry.default_size)
    assert built.latent_frames_per_chunk == entry.latent_frames_per_chunk
    assert (built.dit.head_dim, built.text.dim, built.dit.latent_channels) == (128, 4096, 16)
    assert (built.dit.window_frames, built.dit.sink_frames, built.dit.sink_threshold) == (6, 3, 0.2)
    assert (built.schedule.timesteps, built.schedule.shift) == ((700, 500, 400, 200), 8)
    assert (built.schedule.offset, built.schedule.default_strength) == (0.1, 0.8)
    assert entry.engine["vae"]["normalise_encoded"] is False


def test_a_table_that_the_engine_does_not_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "mine.toml"
    path.write_text('base = "wan-1.3b"\n[engine.dit]\nwindow = 5\n')
    assert main("mine") == 1
    assert f"{path}: unknown key dit.window; known are" in capsys.readouterr().out
    path.write_text('base = "wan-1.3b"\n[engine.dit]\nwindow_frames = 5\nsink_frames = 2\n')
    assert main("mine") == 0
