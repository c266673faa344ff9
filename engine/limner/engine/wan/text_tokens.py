"""Words → token numbers, by the tokenizer's own file; nothing is fetched."""

from __future__ import annotations

import importlib
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limner.engine.errors import TextError

TOKENIZER, SENTENCEPIECE = "tokenizer.json", "spiece.model"
_FOLDERS = ("", "tokenizer", "google/umt5-xxl")
"""Where a tokenizer is in the folder of a model: its own folder, diffusers' and Wan's."""

Tokens = Callable[[str], list[int]]
"""Text → numbers of its tokens, the end token last."""


def read_tokenizer(path: Path) -> Tokens:
    """A tokenizer from its folder, that of its model, or its file; TextError names what is missing."""
    file = tokenizer_file(path)
    try:
        return _by_tokenizers(file) if file.suffix == ".json" else _by_sentencepiece(file)
    # Both libraries raise Exception and RuntimeError themselves.
    except Exception as error:
        raise TextError(f"{file}: damaged, or no tokenizer ({error}); fetch it again") from error


def tokenizer_file(path: Path) -> Path:
    """The file that is read for a path; TextError when there is none."""
    if path.is_file():
        return path
    for folder in _FOLDERS:
        for name in (TOKENIZER, SENTENCEPIECE):
            if (file := path / folder / name).is_file():
                return file
    raise TextError(f"{path}: there is no tokenizer ({TOKENIZER} or {SENTENCEPIECE}); fetch the model again")


def within(tokens: Tokens, text: str, length: int) -> tuple[list[int], tuple[str, ...]]:
    """At most `length` tokens of a text, the end token last; and the words that found no place."""
    ids = tokens(text)
    if len(ids) <= length:
        return ids, ()
    words = text.split()
    kept = bisect_left(
        range(1, len(words) + 1), True, key=lambda n: len(tokens(" ".join(words[:n]))) > length
    )
    return [*ids[: length - 1], ids[-1]], tuple(dict.fromkeys(words[kept:]))


def _by_tokenizers(file: Path) -> Tokens:
    tokenizers: Any = importlib.import_module("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    # Some files say to cut or fill texts to their own length.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def tokens(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=True).ids
        return ids

    if not tokens(""):
        raise ValueError("it puts no end token after a text")
    return tokens


def _by_sentencepiece(file: Path) -> Tokens:
    sentencepiece: Any = importlib.import_module("sentencepiece")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))

    def tokens(text: str) -> list[int]:
        ids: list[int] = processor.encode(text)
        return [*ids, processor.eos_id()]

    if processor.eos_id() < 0:
        raise ValueError("it has no end token")
    return tokens
