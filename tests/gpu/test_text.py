"""Wan's text on CUDA: the encoder gives what it gives on the CPU, and goes; a change waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.engine.streaming import clip, settings_of
from tests.engine.tiny import random_weights
from tests.engine.wan.texts import PATIENCE_S, SlowEncoders, slow_config
from tests.engine.wan.umt5 import DIM, LENGTH, PROMPTS, random_umt5, write_tokenizer_json, write_wan
from tests.gpu.device import DEVICE, IS_CUDA, ON_DEVICE

from limner.engine.engine import Engine
from limner.engine.types import WAITS
from limner.engine.wan.text import Umt5Config, Umt5Text
from limner.engine.wan.text_clean import cleaned
from limner.engine.wan.text_load import Umt5Files, room_on, umt5_loader

pytestmark = ON_DEVICE
CONFIG = Umt5Config(dim=DIM, length=LENGTH)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Umt5Files:
    folder = tmp_path_factory.mktemp("umt5")
    encoder = write_wan(random_umt5(), folder / "models_t5.pth")
    return Umt5Files(encoder=encoder, tokenizer=write_tokenizer_json(folder / "tokenizer"))


@pytest.fixture
def sync_is_an_error_at_need() -> Iterator[None]:
    yield
    if IS_CUDA:
        torch.cuda.set_sync_debug_mode("default")


def test_encodes_as_on_the_cpu_and_leaves_nothing_behind(files: Umt5Files) -> None:
    held_bytes = []
    # Twice around in the type that is used, so that what the libraries keep for good is there: products have
    # a work space a queue, which is 32 MiB on a Hopper card.
    for dtype, bound in ((torch.float32, 1e-4), *[(torch.bfloat16, 1e-2)] * 3):
        umt5s = [
            umt5_loader(files, CONFIG, device=device, dtype=dtype)(lambda: None)
            for device in (torch.device("cpu"), DEVICE)
        ]
        for prompt in map(cleaned, PROMPTS):
            here, there = (umt5.encode(prompt, lambda: None).text.embedding_LE for umt5 in umt5s)
            assert there.device.type == "cpu"
            assert float((here - there).norm() / here.norm()) < bound, prompt
        for umt5 in umt5s:
            umt5.free()
        held_bytes.append(torch.cuda.memory_allocated(DEVICE) if IS_CUDA else 0)
    assert held_bytes[-1] == held_bytes[-2], "weights, or what was made of them, are still there"


def test_room_is_what_is_free_less_something_to_spare() -> None:
    assert not room_on(DEVICE)(1 << 50)
    assert room_on(DEVICE, spare_bytes=0)(1 << 20) == IS_CUDA


@pytest.mark.usefixtures("sync_is_an_error_at_need")
@pytest.mark.parametrize("transition_frames", [0, 12])
def test_a_text_that_comes_while_live_makes_nobody_wait(transition_frames: int) -> None:
    config, encoders = slow_config(), SlowEncoders()
    engine = Engine(config, random_weights(config), device=DEVICE, dtype=torch.float32)
    text = engine.text
    assert isinstance(text, Umt5Text)
    text.connect(encoders.load)
    first = text.ask("oil")
    encoders.let()
    first.result(PATIENCE_S)
    stream = engine.open_stream(settings_of(), 32, 48)
    chunks = [chunk.to(DEVICE) for chunk in clip(16)]
    notes = [stream.encode(chunk).text_note for chunk in chunks[:4]]
    stream.update(settings_of(prompt="neon", transition_frames=transition_frames))
    notes += [stream.encode(chunk).text_note for chunk in chunks[4:6]]
    second = text.ask("neon")
    encoders.let()
    second.result(PATIENCE_S)
    if IS_CUDA:
        torch.cuda.set_sync_debug_mode("error")
    texts = [stream.encode(chunk) for chunk in chunks[6:]]
    if IS_CUDA:
        torch.cuda.set_sync_debug_mode("default")
    assert [*notes, texts[0].text_note] == ["", "", "", "", WAITS, WAITS, ""]
    assert len({id(chunk.text) for chunk in texts}) == max(1, transition_frames // 4)
    engine.close()
