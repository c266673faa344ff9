"""LoRAs that styles ask for: read beside the stream, in force between two chunks, and missing ones named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.engine.tiny import tiny_engine
from tests.worker.sessions import give, open_message, outputs, run_loop

from limner.daemon.protocol import Lora
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done
from limner.engine.engine import Engine
from limner.engine.files import LoraShare
from limner.engine.overlap import Lanes
from limner.engine.wan.lora import Prepared
from limner.worker.loras import LoraDesk, LoraError, lora_path
from limner.worker.model_engine import TorchPaintEngine

PATIENCE_S = 20.0
MakeSegments = Callable[..., SegmentPair]


class SlowReader:
    """An engine's LoRAs that are read when the test lets them, and what was put in force."""

    lora_fault = ""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.may_read = threading.Semaphore(0)
        self.was_read = threading.Semaphore(0)
        self.in_force: list[list[str]] = []
        self._names: dict[int, list[str]] = {}

    def read_loras(self, shares: Sequence[LoraShare]) -> Prepared:
        if shares:
            assert self.may_read.acquire(timeout=PATIENCE_S)
        try:
            prepared = self.engine.read_loras(shares)
        finally:
            self.was_read.release()
        self._names[id(prepared)] = [share.path.stem for share in shares]
        return prepared

    def use_loras(self, prepared: Prepared) -> None:
        self.in_force.append(self._names[id(prepared)])
        self.engine.use_loras(prepared)

    def let_one(self, desk: LoraDesk) -> None:
        """Let one be read, and wait for that."""
        self.may_read.release()
        self.settle(desk)

    def settle(self, desk: LoraDesk) -> None:
        assert self.was_read.acquire(timeout=PATIENCE_S)
        if desk._coming is not None:
            desk._coming.exception(PATIENCE_S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMNER_LORAS_DIR", str(tmp_path))
    for name in ("grain", "ink", "film"):
        torch.manual_seed(len(name))
        pair = {"lora_A": torch.randn(4, 32), "lora_B": torch.randn(32, 4)}
        tensors = {f"diffusion_model.blocks.0.ffn.0.{half}.weight": tensor for half, tensor in pair.items()}
        save_file(tensors, tmp_path / f"{name}.safetensors")
    save_file({"wings": torch.zeros(1)}, tmp_path / "wings.safetensors")
    return tmp_path


@pytest.fixture
def reader() -> SlowReader:
    return SlowReader(tiny_engine())


@pytest.fixture
def desk(reader: SlowReader, folder: Path) -> Iterator[LoraDesk]:
    with Lanes(2) as lanes:
        desk = LoraDesk(reader, lanes, folder)  # type: ignore[arg-type]  # all that it needs of an engine
        yield desk
        reader.may_read.release(10)
        desk.close()


def test_it_waits_for_nobody_and_comes_in_force_with_a_push(desk: LoraDesk, reader: SlowReader) -> None:
    desk.want([Lora(name="grain")])
    desk.put_in_force()
    assert reader.in_force == [] and desk.note == "loading the LoRA grain"
    reader.let_one(desk)
    assert reader.in_force == [] and desk.note
    desk.put_in_force()
    assert reader.in_force == [["grain"]] and desk.note == ""
    desk.put_in_force()
    desk.want([Lora(name="grain")])
    assert len(reader.in_force) == 1 and desk.note == ""


def test_a_file_that_comes_after_it_was_asked_for_is_read(
    desk: LoraDesk, reader: SlowReader, folder: Path
) -> None:
    place = folder / "late.safetensors"
    asked = [Lora(name="late")]

    def ask() -> str:
        desk.want(asked)
        if desk._coming is not None:
            desk._coming.exception(PATIENCE_S)
        desk.put_in_force()
        return desk.note

    reader.may_read.release(10)
    assert "there is no LoRA 'late'" in ask()
    assert "there is no LoRA 'late'" in ask() and reader.in_force == [[]], "nothing has changed"
    place.write_bytes(b"half of it")
    assert "late.safetensors" in ask() and "there is no" not in desk.note
    place.write_bytes((folder / "grain.safetensors").read_bytes())
    assert ask() == "" and reader.in_force[-1] == ["late"]


def test_the_newest_of_several_wishes_counts(desk: LoraDesk, reader: SlowReader) -> None:
    desk.want([Lora(name="grain")])
    desk.want([Lora(name="ink")])
    desk.want([Lora(name="film", weight=0.5), Lora(name="ink")])
    reader.may_read.release(3)
    while desk._coming is not None:
        desk._coming.exception(PATIENCE_S)
        desk.put_in_force()
    assert reader.in_force == [["film", "ink"]]


def test_none_takes_them_away(desk: LoraDesk, reader: SlowReader) -> None:
    desk.want([Lora(name="grain")])
    reader.let_one(desk)
    desk.put_in_force()
    desk.want([])
    reader.settle(desk)
    desk.put_in_force()
    assert reader.in_force == [["grain"], []] and desk.note == ""
    assert reader.engine._model.dit.launches == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [("rain", "there is no LoRA 'rain'; put rain.safetensors into "), ("wings", "wings is unknown")],
)
def test_what_cannot_be_used_is_named_and_painting_goes_on_without(
    desk: LoraDesk, reader: SlowReader, folder: Path, name: str, words: str
) -> None:
    desk.want([Lora(name="grain")])
    reader.let_one(desk)
    desk.put_in_force()
    desk.want([Lora(name=name)])
    reader.may_read.release()
    assert desk._coming is not None
    desk._coming.exception(PATIENCE_S)
    desk.put_in_force()
    assert desk.note.startswith("painted without LoRAs: ") and words in desk.note
    assert str(folder) in desk.note
    assert reader.in_force == [["grain"], []]


@pytest.mark.parametrize("name", ["../grain", "/etc/passwd", "..", "a/b", "sub/../grain"])
def test_a_name_cannot_point_out_of_the_folder(name: str, folder: Path) -> None:
    (folder / "sub").mkdir()
    with pytest.raises(LoraError, match="there is no LoRA"):
        lora_path(folder / "sub", name)


def test_the_ending_may_be_said(folder: Path) -> None:
    assert (
        lora_path(folder, "grain.safetensors") == lora_path(folder, "grain") == folder / "grain.safetensors"
    )


def test_a_session_paints_with_the_loras_of_its_settings(folder: Path, make_segments: MakeSegments) -> None:
    engine = TorchPaintEngine(tiny_engine(), threads=2)
    dit = engine._engine._model.dit

    def done(sent: list[Message]) -> Done | None:
        return next((message for message in sent if isinstance(message, Done)), None)

    def note(name: str) -> str:
        opening = open_message(make_segments(96, 96), lora=[Lora(name=name)])
        frames = [give(opening, slot, slot) for slot in range(4)]
        said = done(run_loop(engine, [opening, *outputs(opening), *frames], lambda sent: bool(done(sent))))
        assert said is not None
        return said.note

    try:
        before = dit.revision
        # In force with a push after it was read: at the latest when the next session begins.
        assert note("grain") in ("", "loading the LoRA grain")
        assert engine._loras._coming is None or engine._loras._coming.result(PATIENCE_S)
        assert note("grain") == ""
        assert dit.revision > before and dit.launches > 0
    finally:
        engine.close()
