"""Models from TOML files: what is built in, what people add, and what they get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.models.catalogue import load
from limner.models.errors import CatalogueError, UnknownModelError

OWN = """
title = "Mine"
licence = "MIT"
[parts.weights]
repository = "me/mine"
files = ["model.safetensors"]
[engine]
sizes = [[320, 192]]
default_size = [320, 192]
[engine.vae]
[engine.text]
[engine.dit]
dim = 8
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def test_the_built_in_models_are_there(own: Path) -> None:
    catalogue = load(own=own)
    assert not catalogue.problems
    assert list(catalogue.entries) == ["wan-1.3b", "wan-1.3b-taehv", "wan-14b", "wan-14b-taehv"]
    small, large = catalogue.find("wan-1.3b"), catalogue.find("wan-14b")
    assert (small.engine["dit"]["dim"], large.engine["dit"]["dim"]) == (1536, 5120)
    assert large.engine["schedule"] == {
        "timesteps": [700, 500, 400, 200],
        "shift": 8.0,
        "offset": 0.1,
        "default_strength": 0.8,
    }
    assert large.engine["dit"]["window_frames"] == 6 and large.engine["dit"]["sink_frames"] == 3
    assert large.engine["name"] == "wan-14b" and not large.is_own
    # The text encoder and the autoencoder are the same files: they are fetched once.
    assert large.parts["text_encoder"] == small.parts["text_encoder"]
    assert catalogue.find("wan-14b-taehv").vae_part == "taehv"
    assert "vae" not in catalogue.find("wan-14b-taehv").parts
    assert catalogue.find("wan-14b-taehv").engine["vae"] == {
        "kind": "taehv",
        "latent_channels": 16,
        "normalise_encoded": False,
    }


def test_no_checksum_is_made_up(own: Path) -> None:
    assert not any(part.sha256 for entry in load(own=own) for part in entry.parts.values())


def test_an_own_model_needs_no_code(own: Path) -> None:
    (own / "mine.toml").write_text(OWN)
    entry = load(own=own).find("mine")
    assert (entry.title, entry.is_own, entry.sizes) == ("Mine", True, ((320, 192),))
    assert entry.parts["weights"].is_single_file


def test_an_own_model_builds_on_another(own: Path) -> None:
    (own / "fast.toml").write_text('base = "wan-1.3b"\n[engine.dit]\nwindow_frames = 5\nsink_frames = 2\n')
    (own / "faster.toml").write_text('base = "fast"\n[parts.dit]\npath = "me.pt"\n')
    entry = load(own=own).find("faster")
    assert (entry.engine["dit"]["window_frames"], entry.engine["dit"]["dim"]) == (5, 1536)
    assert entry.local_path("dit") == own / "me.pt"
    assert entry.local_path("vae") is None


def test_an_own_model_takes_the_place_of_a_built_in_one(own: Path) -> None:
    (own / "wan-1.3b.toml").write_text('base = "wan-1.3b"\ntitle = "Tuned"\n')
    assert load(own=own).find("wan-1.3b").title == "Tuned"
    assert load(own=own).find("wan-14b").title.startswith("Wan 2.1 14B")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("title = ", "Invalid value"),
        ("colour = 1\n" + OWN, "unknown field `colour`"),
        (OWN + '[parts.taehv]\nfile = "x"', "parts.taehv has an unknown key 'file'; there are: repository, "),
        (
            OWN.replace("[parts.weights]", "[parts.wights]"),
            "there is no part 'wights'; parts are weights, dit",
        ),
        (OWN.replace('"me/mine"', '"mine"'), "repository"),
        (OWN.replace('"me/mine"', '"../mine"'), "repository"),
        (OWN.replace('files = ["model.safetensors"]', ""), "parts.weights.files is empty"),
        (OWN.replace("model.safetensors", "../x"), "must stay inside the repository"),
        (OWN.replace("[engine.vae]", '[engine.vae]\nkind = "wan"'), r"\[parts.dit\] is missing"),
        (OWN.replace("[[320, 192]]", '[["a", 192]]'), "engine.sizes"),
        (OWN.replace('licence = "MIT"', ""), "licence"),
        ('base = "wan"', "base is 'wan'"),
        ('base = "wan-1.3b"\nwithout = ["hat"]', "without names 'hat'"),
        ('base = "bad"', "base is 'bad'"),
    ],
)
def test_a_mistake_is_named_and_takes_nothing_else_away(own: Path, text: str, fault: str) -> None:
    (own / "bad.toml").write_text(text)
    (own / "mine.toml").write_text(OWN)
    catalogue = load(own=own)
    assert {"mine", "wan-1.3b"} <= set(catalogue.entries)
    with pytest.raises(CatalogueError, match=fault) as caught:
        catalogue.find("bad")
    assert str(own / "bad.toml") in str(caught.value)


def test_names_that_cannot_be(own: Path) -> None:
    (own / "pocket.toml").write_text(OWN)
    (own / "Big Model.toml").write_text(OWN)
    assert set(load(own=own).problems) == {"pocket", "Big Model"}


def test_an_unknown_name(own: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean wan-14b\? there are: wan-1.3b, "):
        load(own=own).find("wan-14")
