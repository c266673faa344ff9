"""Models small enough to be pulled in tests, and a hub that has them."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from limner.models.catalogue import load
from limner.models.entry import Entry, Part, PartName
from limner.models.errors import HubError
from limner.models.hub import Advance, Listing, RemoteFile

TINY = """
title = "Tiny"
licence = "MIT"
[parts.dit]
repository = "me/distilled"
files = ["causal/model.safetensors"]
about_bytes = 100
[parts.vae]
repository = "wan/base"
files = ["vae.safetensors"]
[parts.text_encoder]
repository = "wan/base"
files = ["t5/*.safetensors", "t5/model.safetensors.index.json"]
folder = "encoder"
[parts.tokenizer]
repository = "wan/base"
files = ["*.json"]
folder = "google/tokenizer"
[parts.taehv]
repository = "small/vae"
files = ["tae.safetensors"]
optional = true
[engine]
sizes = [[320, 192]]
default_size = [320, 192]
[engine.vae]
kind = "wan"
[engine.text]
kind = "umt5"
[engine.dit]
latent_channels = 16
dim = 128
ffn_dim = 64
heads = 1
layers = 1
text_dim = 4096
"""


def safetensors(value: int, size_bytes: int = 64) -> bytes:
    """A well-formed file with one tensor of bytes."""
    header = json.dumps(
        {"x": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes([value]) * size_bytes


FILES = {
    "me/distilled": {"causal/model.safetensors": safetensors(1, 2000), "README.md": b"hello"},
    "wan/base": {
        "vae.safetensors": safetensors(2),
        "encoder/t5/model-1.safetensors": safetensors(3),
        "encoder/t5/model-2.safetensors": safetensors(4),
        "encoder/t5/model.safetensors.index.json": json.dumps(
            {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
        ).encode(),
        "google/tokenizer/tokenizer.json": b"{}",
        "google/tokenizer/special.json": b"[]",
    },
    "small/vae": {"tae.safetensors": safetensors(5)},
}


def entry_in(folder: Path, name: str = "tiny", text: str = TINY) -> Entry:
    """Write a TOML file and read it as the catalogue does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text)
    return load(own=folder).find(name)


def write_files(folder: Path, repositories: dict[str, dict[str, bytes]] = FILES) -> Path:
    """Put the repositories' files into OWNER/NAME of a folder."""
    for repository, files in repositories.items():
        for path, content in files.items():
            place = folder / repository / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return folder


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def remote(path: str, content: bytes) -> RemoteFile:
    """As the hub describes it: large files with SHA-256, small text with git's id."""
    large = path.endswith(".safetensors")
    return RemoteFile(
        path=path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest() if large else "",
        git_id="" if large else git_id(content),
    )


class FakeHub:
    """Gives the files block by block; `before_block` may raise, to break a download there."""

    def __init__(self, files: dict[str, dict[str, bytes]] = FILES, block_bytes: int = 500) -> None:
        self.files = {repository: dict(inside) for repository, inside in files.items()}
        self.fetched: list[tuple[str, int]] = []
        """Paths, and from which byte on."""
        self.before_block: Callable[[str, int], None] = lambda path, begin: None
        self.is_stalled = False
        """Nothing comes any more, until somebody stops it."""
        self._block_bytes, self._lock = block_bytes, threading.Lock()

    def listing(self, name: PartName, part: Part) -> Listing:
        if part.repository not in self.files:
            raise HubError(f"the hub has no repository {part.repository}")
        files = tuple(remote(path, content) for path, content in self.files[part.repository].items())
        return Listing(commit="c0ffee", files=files, licence="mit")

    def takes_room(self, root: Path) -> bool:
        return True

    def fetch(self, part: Part, commit: str, file: RemoteFile, target: Path, advance: Advance) -> None:
        content = FILES[part.repository][file.path]
        if part.repository in self.files:
            content = self.files[part.repository].get(file.path, content)
        with target.open("ab") as opened:
            begin = opened.tell()
            with self._lock:
                self.fetched.append((file.path, begin))
            advance(begin)
            while begin < len(content):
                self.before_block(file.path, begin)
                while self.is_stalled:
                    time.sleep(0.005)
                    advance(0)
                block = content[begin : begin + self._block_bytes]
                opened.write(block)
                begin += len(block)
                advance(len(block))


class Recorder:
    """A meter."""

    def __init__(self) -> None:
        self.done_bytes, self.notes = 0, list[str]()
        self._lock = threading.Lock()

    def advance(self, size_bytes: int) -> None:
        with self._lock:
            self.done_bytes += size_bytes

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)
