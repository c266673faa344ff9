"""docs/hardware.md says what the plan says."""

from __future__ import annotations

from pathlib import Path

from limner.models.plan_doc import render

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"


def test_page_is_current() -> None:
    assert PAGE.read_text() == render(), "run: python -m limner.models.plan_doc > docs/hardware.md"
