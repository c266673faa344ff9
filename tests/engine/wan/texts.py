"""A text encoder that takes as long as a test wants, and the tiny model that has it."""

from __future__ import annotations

import dataclasses
import queue
import threading
import zlib
from pathlib import Path

import torch
from tests.engine.tiny import random_weights, tiny_config

from limner.engine.blend import SoftText
from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.engine.model import Model
from limner.engine.text import TextEmbedding
from limner.engine.wan.text import GoOn, Umt5Config, Umt5Text
from limner.engine.wan.text_cache import TextCache

DIM, LENGTH = 8, 6
PATIENCE_S = 20.0


def embedding_of(prompt: str) -> TextEmbedding:
    """Some numbers for each word, then zeros: always the same for a prompt."""
    words = prompt.split() or ["</s>"]
    rows = [
        torch.randn(DIM, generator=torch.Generator().manual_seed(zlib.crc32(word.encode()))) for word in words
    ][:LENGTH]
    text = SoftText(embedding_LE=torch.stack(rows), weight_L=torch.ones(len(rows)), zeros=LENGTH - len(rows))
    return TextEmbedding(text=text, unknown=tuple(words[LENGTH:]))


class SlowEncoders:
    """Loads encoders that encode nothing until they are let; all that they do is on record."""

    def __init__(self, *, slow: bool = True) -> None:
        self.loads, self.frees = 0, 0
        self.encoded: list[str] = []
        self.fault: BaseException | None = None
        self.load_fault: Exception | None = None
        self.free_fault: Exception | None = None
        self.begun: queue.Queue[str] = queue.Queue()
        self.freed = threading.Event()
        self._slow = slow
        self._let = threading.Semaphore(0)

    def load(self, go_on: GoOn) -> SlowEncoders:
        self.loads += 1
        if self.load_fault is not None:
            raise self.load_fault
        return self

    def encode(self, prompt: str, go_on: GoOn) -> TextEmbedding:
        self.begun.put(prompt)
        if self._slow:
            assert self._let.acquire(timeout=PATIENCE_S), "nobody let it"
            go_on()
        if self.fault is not None:
            raise self.fault
        self.encoded.append(prompt)
        return embedding_of(prompt)

    def free(self) -> None:
        self.frees += 1
        self.freed.set()
        if self.free_fault is not None:
            raise self.free_fault

    def has_begun(self) -> str:
        """Wait until it is at a prompt; which one."""
        return self.begun.get(timeout=PATIENCE_S)

    def let(self, prompts: int = 1) -> None:
        """Let it finish so many prompts."""
        self._let.release(prompts)

    def text(self, *, cache: Path | None = None, idle_s: float = 60.0) -> Umt5Text:
        """A text encoder that loads these. Close it."""
        text = Umt5Text(Umt5Config(dim=DIM, length=LENGTH))
        kept = None if cache is None else TextCache(cache, "fake", dim=DIM, length=LENGTH)
        text.connect(self.load, cache=kept, idle_s=idle_s)
        return text


def slow_config() -> ModelConfig:
    """The tiny model, but with Wan's kind of text."""
    return dataclasses.replace(tiny_config(kind="fresh"), text=Umt5Config(dim=DIM, length=LENGTH))


def slow_engine(encoders: SlowEncoders, *, cache: Path | None = None) -> Engine:
    """The tiny engine with a text encoder that loads these. Close it."""
    config = slow_config()
    weights = random_weights(config)
    engine = Engine(config, weights, dtype=torch.float32)
    text = engine.text
    assert isinstance(text, Umt5Text)
    kept = None if cache is None else TextCache(cache, "fake", dim=DIM, length=LENGTH)
    text.connect(encoders.load, cache=kept, idle_s=60.0)
    return engine


def model_parameters(config: ModelConfig) -> list[str]:
    """Names of what a model of this config has for weights."""
    return list(Model(config).state_dict())
