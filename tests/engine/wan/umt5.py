"""A tiny UMT5 with random weights in the files of both formats, and tokenizers that are taught here."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from limner.engine.wan.keys_text import to_wan

DIM, WORDS, LENGTH = 32, 120, 16
SENTENCES = (
    "an oil painting of a warm neon street",
    "fog over a dark forest, heavy brush strokes",
    "watercolour of a small boat at sunset",
    "a pencil drawing: cats, dogs and birds",
)
PROMPTS = (
    "",
    "an oil painting",
    "Fog over a NEON street",
    "a 油絵 painting \U0001f3a8",
    " warm,   warm &amp; dark ",
    "painting " * 40,
)


def random_umt5(*, seed: int = 0) -> nn.Module:
    """Transformers' model with its own initial weights, and norms that are no mere ones."""
    # Untyped: checking the types of all of transformers takes minutes.
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(seed)
    config = transformers.UMT5Config(
        vocab_size=WORDS, d_model=DIM, d_kv=8, d_ff=48, num_layers=3, num_heads=3
    )
    model: nn.Module = transformers.UMT5EncoderModel(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:  # Else all ones: nobody would see one that is missing.
                weight.normal_(1.0, 0.3)
    return model.eval()


def write_transformers(model: Any, folder: Path) -> Path:
    """As a hub has it: a config and several shards with an index."""
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def write_wan(model: nn.Module, file: Path) -> Path:
    """As Wan's own file has it."""
    tensors = {to_wan(name): t.clone() for name, t in model.state_dict().items()}
    torch.save(tensors, file)
    return file


def write_single(model: nn.Module, file: Path, dtype: torch.dtype) -> Path:
    """One safetensors file, in a type."""
    kept = {name: t.to(dtype) for name, t in model.state_dict().items() if "embed_tokens" not in name}
    save_file(kept, file)
    return file


def write_sentencepiece(folder: Path) -> Path:
    """A `spiece.model` with UMT5's special tokens, taught a few words."""
    import sentencepiece

    folder.mkdir(exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return folder


def write_tokenizer_json(folder: Path, *, spiece: Path | None = None) -> Path:
    """A `tokenizer.json` as transformers writes it, with the pieces of a `spiece.model` or its own."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    folder.mkdir(exist_ok=True)
    source = write_sentencepiece(folder / "source") if spiece is None else spiece
    processor = sentencepiece.SentencePieceProcessor(model_file=str(source / "spiece.model"))
    pieces: Sequence[tuple[str, float]] = [
        (processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())
    ]
    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    # Some files are saved with these on; they must do nothing here.
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
