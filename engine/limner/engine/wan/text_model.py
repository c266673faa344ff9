"""UMT5's encoder, through transformers, while it is loaded. S tokens of a prompt, E their width."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from limner.engine.blend import SoftText
from limner.engine.errors import TextError
from limner.engine.queues import cuda_stream
from limner.engine.text import TextEmbedding
from limner.engine.wan.text import GoOn
from limner.engine.wan.text_tokens import Tokens, within


class Umt5:
    """Encodes prompts one by one. `free` it when there are no more."""

    def __init__(self, model: nn.Module, tokens: Tokens, *, length: int) -> None:
        """`model`: transformers' UMT5EncoderModel. `length`: tokens of a text, padding included."""
        self._model: nn.Module | None = model
        self._tokens, self._length = tokens, length
        self._device = next(model.parameters()).device
        # Apart from the stream's own work, which is on other CUDA streams.
        self._stream = cuda_stream(self._device, "reading prompts") if self._device.type == "cuda" else None

    @torch.inference_mode()
    def encode(self, prompt: str, go_on: GoOn = lambda: None) -> TextEmbedding:
        """A cleaned prompt: its own tokens, then zeros, all of full weight, as Wan has it.

        Encoded without padding, which no token of a prompt can see. Words beyond the length do nothing.
        `go_on` is called before each block, which on a slow CPU takes tenths of a second.
        """
        assert self._model is not None, "the encoder was freed"
        ids, dropped = within(self._tokens, prompt, self._length)
        with self._on_stream(), _before_each_block(self._model, go_on):
            ids_1S = torch.tensor([ids], device=self._device)
            out_1SE: Tensor = self._model(input_ids=ids_1S).last_hidden_state
            rows_SE = out_1SE[0].float().cpu()
        if not bool(rows_SE.isfinite().all()):
            raise TextError("the text encoder gives numbers that are not finite; fetch its weights again")
        text = SoftText(embedding_LE=rows_SE, weight_L=torch.ones(len(ids)), zeros=self._length - len(ids))
        return TextEmbedding(text=text, unknown=dropped)

    def free(self) -> None:
        """Give its memory back."""
        assert self._model is not None, "the encoder was freed"
        # Not left to the collector: a run of it would hold up the stream's threads for half a second.
        for weight in self._model.parameters():
            weight.data = weight.data.new_empty(0)
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


@contextmanager
def _before_each_block(model: nn.Module, go_on: GoOn) -> Iterator[None]:
    blocks = model.get_submodule("encoder.block")
    hooks = [block.register_forward_pre_hook(lambda *_: go_on()) for block in blocks.children()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
