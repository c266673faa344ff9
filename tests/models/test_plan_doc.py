"""docs/hardware.md says what the plan says."""

from __future__ import annotations

from pathlib import Path

from limner.daemon.saved import read
from limner.models.plan_choice import Wishes
from limner.models.plan_doc import render

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"


def test_page_is_current() -> None:
    assert PAGE.read_text() == render(), "run: python -m limner.models.plan_doc > docs/hardware.md"


def test_its_example_is_understood(tmp_path: Path) -> None:
    example = PAGE.read_text().partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "config.toml"
    path.write_text(example)
    memory = read(path).memory
    assert memory is not None
    assert all(getattr(memory, field) is not None for field in Wishes.__struct_fields__)
