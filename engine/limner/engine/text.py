"""Pocket's text encoder: a table of the words that it was taught.

Legend: B prompts, L text tokens of a prompt (padded), D width of a token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from limner.engine.blend import SoftText

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """Size and vocabulary of the text encoder."""

    kind: Literal["words"] = "words"
    """Which text encoder: this one."""
    dim: int = 256
    """Width of a token, ≥ 1."""
    length: int = 16
    """Text tokens of a prompt: known words beyond it are dropped, ≥ 1."""
    words: tuple[str, ...] = ()
    """Known words, lower case, no doubles. Their order is that of the table's rows, after the null token."""

    def __post_init__(self) -> None:
        for name in ("dim", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"text.{name} must be at least 1, not {getattr(self, name)}")
        seen: set[str] = set()
        for word in self.words:
            if not _WORD.fullmatch(word) or word != word.lower():
                raise ValueError(f"text.words must be single words in lower case, not {word!r}")
            if word in seen:
                raise ValueError(f"text.words holds {word!r} twice")
            seen.add(word)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEmbedding:
    """A prompt or a mix of prompts, encoded."""

    text: SoftText
    """Of a prompt: one token a known word, in the prompt's order, then padding; never padding alone. On the
    CPU, float32."""
    unknown: tuple[str, ...]
    """Words that did nothing: not in the vocabulary, or beyond the text's length."""


class WordText(nn.Module):
    """Known words → learned rows. A prompt without any gives the learned null token (row 0)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self._ids = {word: index + 1 for index, word in enumerate(config.words)}
        self.table = nn.Embedding(len(config.words) + 1, config.dim)
        nn.init.normal_(self.table.weight, std=0.5)

    @property
    def stand_in(self) -> str:
        """The empty prompt: here all are known."""
        return ""

    def token_ids(self, prompt: str) -> tuple[list[int], tuple[str, ...]]:
        """Rows of the prompt's known words (at least the null token), and the words that do nothing."""
        words = _WORD.findall(prompt.lower())
        known = [word for word in words if word in self._ids]
        kept, surplus = known[: self.config.length], known[self.config.length :]
        unknown = dict.fromkeys([word for word in words if word not in self._ids] + surplus)
        return [self._ids[word] for word in kept] or [0], tuple(unknown)

    def embed(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts → embedding [B, L, D] and mask [B, L], for training."""
        ids_BL = torch.zeros(len(prompts), self.config.length, dtype=torch.long)
        mask_BL = torch.zeros(len(prompts), self.config.length, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            ids, _ = self.token_ids(prompt)
            ids_BL[row, : len(ids)] = torch.tensor(ids)
            mask_BL[row, : len(ids)] = True
        device = self.table.weight.device
        mask_BL = mask_BL.to(device)
        embedding_BLD = self.table(ids_BL.to(device)) * mask_BL[..., None]
        return embedding_BLD, mask_BL

    @torch.inference_mode()
    def encode(self, prompt: str) -> TextEmbedding:
        """One prompt, case ignored; any text is fine, the empty one too."""
        embedding_BLD, mask_BL = self.embed([prompt])
        _, unknown = self.token_ids(prompt)
        # Float32 whatever the model computes in: texts are interpolated, and angles want digits.
        text = SoftText(embedding_LE=embedding_BLD[0].float().cpu(), weight_L=mask_BL[0].float().cpu())
        return TextEmbedding(text=text, unknown=unknown)

    def ask(self, prompt: str) -> Future[TextEmbedding]:
        """Done already."""
        done: Future[TextEmbedding] = Future()
        done.set_result(self.encode(prompt))
        return done

    def prepare(self, prompts: Sequence[str]) -> list[Future[TextEmbedding]]:
        """Nothing to prepare: a look into a table."""
        return [self.ask(prompt) for prompt in prompts]

    def let_go(self) -> bool:
        """It has nothing to give."""
        return False

    def close(self) -> None:
        """Nothing to end."""
