"""docs/cli.md says what the commands' help says."""

from __future__ import annotations

from pathlib import Path

from limner.cli.cli_doc import render

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_page_is_current() -> None:
    assert PAGE.read_text() == render(), "run: python -m limner.cli.cli_doc > docs/cli.md"
