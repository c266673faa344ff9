"""docs/protocol.md is what the schema says."""

from __future__ import annotations

from pathlib import Path

from limner.daemon import protocol, worker_protocol
from limner.daemon.protocol_doc import render

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), (
        "docs/protocol.md is old; run: python -m limner.daemon.protocol_doc > docs/protocol.md"
    )


def test_it_names_every_message_and_key() -> None:
    text = render()
    messages = (
        *protocol.CLIENT_TO_DAEMON,
        *protocol.DAEMON_TO_CLIENT,
        *worker_protocol.DAEMON_TO_WORKER,
        *worker_protocol.WORKER_TO_DAEMON,
    )
    for message in messages:
        assert f"### `{message.__struct_config__.tag}`" in text
        for key in message.__struct_fields__:
            assert f"`{key}`" in text
