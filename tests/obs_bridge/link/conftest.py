"""A filter's I/O thread without OBS, in a runtime folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.obs_bridge.link.link_tool import LinkTool, Start


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="limner-") as made:
        yield Path(made)


@pytest.fixture
def start(tools: Path, tool_environment: dict[str, str], folder: Path) -> Iterator[Start]:
    running: list[LinkTool] = []

    def start_tool(*arguments: str, **environment: str) -> LinkTool:
        tool = LinkTool(
            tools / "link_tool",
            tool_environment | {"LIMNER_RUNTIME_DIR": str(folder)} | environment,
            *arguments,
        )
        running.append(tool)
        return tool

    yield start_tool
    for tool in running:
        tool.close()
