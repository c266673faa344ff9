"""Texts on disk: exact, whole or not there, bounded, and shared by processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from limner.engine.blend import SoftText
from limner.engine.text import TextEmbedding
from limner.engine.wan.text_cache import TextCache, identity_of

DIM, LENGTH = 16, 8


def cache_of(folder: Path, identity: str = "a", **changes: int) -> TextCache:
    return TextCache(folder, identity, **{"dim": DIM, "length": LENGTH, **changes})


def text_of(tokens: int, *, half: bool = False, seed: int = 0) -> TextEmbedding:
    rows = torch.randn(tokens, DIM, generator=torch.Generator().manual_seed(seed))
    rows = rows.bfloat16().float() if half else rows
    text = SoftText(embedding_LE=rows, weight_L=torch.ones(tokens), zeros=LENGTH - tokens)
    return TextEmbedding(text=text, unknown=("fog",) if seed else ())


def equal(a: TextEmbedding | None, b: TextEmbedding) -> bool:
    assert a is not None
    return (
        torch.equal(a.text.embedding_LE, b.text.embedding_LE)
        and torch.equal(a.text.weight_L, b.text.weight_L)
        and (a.text.zeros, a.unknown) == (b.text.zeros, b.unknown)
    )


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("tokens", [1, 5, LENGTH])
def test_gives_back_bit_by_bit_what_was_put(tmp_path: Path, tokens: int, half: bool) -> None:
    text = text_of(tokens, half=half, seed=tokens)
    cache_of(tmp_path / "new" / "folder").put("oil", text)
    assert equal(cache_of(tmp_path / "new" / "folder").get("oil"), text)


def test_keeps_the_prompts_own_rows_alone_and_no_words(tmp_path: Path) -> None:
    for tokens, half in ((2, False), (2, True)):
        cache_of(tmp_path, str(half)).put("secret", text_of(tokens, half=half))
    sizes = sorted(file.stat().st_size for file in files(tmp_path))
    assert sizes[1] - sizes[0] == 2 * DIM * 2, "exact halves are kept as halves"
    assert all(b"secret" not in file.read_bytes() and "secret" not in file.name for file in files(tmp_path))


def test_another_encoder_or_prompt_knows_nothing_of_it(tmp_path: Path) -> None:
    cache = cache_of(tmp_path)
    cache.put("oil", text_of(3))
    assert cache.get("neon") is None and cache_of(tmp_path, "b").get("oil") is None
    assert cache_of(tmp_path / "none").get("oil") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_none_and_is_written_anew(tmp_path: Path, damage: str) -> None:
    cache, text = cache_of(tmp_path), text_of(3)
    cache.put("oil", text)
    (file,) = files(tmp_path)
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    damaged = {"cut": content[:-9], "flipped": content, "empty": b"", "other": b"no such thing"}[damage]
    file.write_bytes(bytes(damaged))
    assert cache.get("oil") is None
    cache.put("oil", text)
    assert equal(cache.get("oil"), text)


def test_a_text_of_another_size_is_none(tmp_path: Path) -> None:
    cache_of(tmp_path).put("oil", text_of(5))
    assert cache_of(tmp_path, length=4).get("oil") is None
    assert cache_of(tmp_path, dim=DIM * 2).get("oil") is None


def test_what_was_used_least_lately_goes_first(tmp_path: Path) -> None:
    cache_of(tmp_path).put("probe", text_of(4))
    one_bytes = files(tmp_path)[0].stat().st_size
    files(tmp_path)[0].unlink()
    cache = cache_of(tmp_path, limit_bytes=3 * one_bytes)
    for age_s, prompt in ((300, "a"), (200, "b"), (100, "c")):
        before = set(files(tmp_path))
        cache.put(prompt, text_of(4))
        (new,) = set(files(tmp_path)) - before
        then = new.stat().st_mtime - age_s
        os.utime(new, (then, then))
    assert cache.get("a") is not None
    cache.put("d", text_of(4))
    assert [cache.get(prompt) is not None for prompt in "abcd"] == [True, False, True, True]
    tiny = cache_of(tmp_path, limit_bytes=1)
    tiny.put("e", text_of(4))
    assert len(files(tmp_path)) == 1 and tiny.get("e") is not None


def test_what_a_crash_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("x.partial", "y.partial", "notes.txt"))
    for file in (old, new, other):
        file.touch()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    cache_of(tmp_path, limit_bytes=1).put("oil", text_of(2))
    assert not old.exists() and new.exists() and other.exists()


def test_an_unwritable_folder_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    cache_of(tmp_path / "file" / "sub").put("oil", text_of(2))
    assert "cannot keep a text" in caplog.text
    assert cache_of(tmp_path / "file" / "sub").get("oil") is None


def write_and_read(folder: Path, rounds: int) -> None:
    """What a process does that meets others in a folder."""
    cache = cache_of(folder, limit_bytes=10_000)
    for i in range(rounds):
        prompt, tokens = str(i % 13), 1 + i % 7
        found = cache.get(prompt)
        wholes = (text_of(tokens, seed=int(prompt)) for tokens in range(1, 8))
        assert found is None or any(equal(found, whole) for whole in wholes), prompt
        cache.put(prompt, text_of(tokens, seed=int(prompt)))


OTHER = """
import sys, pathlib
from tests.engine.wan.test_text_cache import write_and_read
print("ready", flush=True)
write_and_read(pathlib.Path(sys.argv[1]), 300)
"""


def test_processes_share_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        while other.poll() is None:
            write_and_read(tmp_path, 30)
        errors = other.communicate()[1]
    assert other.returncode == 0 and not errors, errors
    assert not caplog.text
    assert not list(tmp_path.glob("*.partial"))
    # Each leaves what the other has just written.
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 2 * 10_000


def test_identity_changes_with_every_file(tmp_path: Path) -> None:
    folder, single = tmp_path / "encoder", tmp_path / "spiece.model"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(b"12")
    single.write_bytes(b"3")
    seen = [identity_of([folder, single])]
    assert identity_of([folder, single]) == seen[0]
    seen.append(identity_of([folder, single], "fact"))
    os.utime(single, (5, 5))
    seen.append(identity_of([folder, single]))
    (folder / "a.safetensors").write_bytes(b"123")
    seen.append(identity_of([folder, single]))
    (folder / "b.safetensors").touch()
    seen.append(identity_of([folder, single]))
    assert len(set(seen)) == len(seen)
