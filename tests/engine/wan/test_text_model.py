"""UMT5 gives what transformers gives, from files of every format, and refuses those that are not its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.wan.umt5 import (
    DIM,
    LENGTH,
    PROMPTS,
    random_umt5,
    write_sentencepiece,
    write_single,
    write_tokenizer_json,
    write_transformers,
    write_wan,
)
from torch import Tensor, nn

from limner.engine.errors import TextError, WeightsError
from limner.engine.wan.text import Umt5Config, Umt5Text
from limner.engine.wan.text_clean import cleaned
from limner.engine.wan.text_load import Umt5Files, connect_umt5, load_umt5, umt5_loader, umt5_sizes
from limner.engine.wan.text_model import Umt5
from limner.engine.wan.text_tokens import read_tokenizer, within

CPU = torch.device("cpu")
CONFIG = Umt5Config(dim=DIM, length=LENGTH)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return random_umt5()


@pytest.fixture(scope="module")
def files(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Umt5Files:
    """A model's folder as diffusers has it."""
    folder = tmp_path_factory.mktemp("umt5")
    write_transformers(model, folder / "text_encoder")
    write_sentencepiece(folder / "source")
    write_tokenizer_json(folder / "tokenizer", spiece=folder / "source")
    write_wan(model, folder / "models_t5.pth")
    return Umt5Files(encoder=folder, tokenizer=folder)


def theirs(model: Any, ids: list[int]) -> Tensor:
    """What transformers gives for a padded and masked prompt, as Wan encodes it: zeros after its end."""
    padded = torch.zeros(1, LENGTH, dtype=torch.long)
    padded[0, : len(ids)] = torch.tensor(ids)
    mask = (torch.arange(LENGTH) < len(ids)).long()[None]
    with torch.no_grad():
        out: Tensor = model(input_ids=padded, attention_mask=mask).last_hidden_state[0].float()
    out[len(ids) :] = 0
    return out


def nothing() -> None:
    """Go on."""


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("kind", ["sharded", "wan"])
def test_is_that_of_transformers(
    model: nn.Module, files: Umt5Files, kind: str, dtype: torch.dtype, bound: float
) -> None:
    encoder = files.encoder if kind == "sharded" else files.encoder / "models_t5.pth"
    mine = Umt5Files(encoder=encoder, tokenizer=files.tokenizer)
    umt5 = umt5_loader(mine, CONFIG, device=CPU, dtype=dtype)(nothing)
    tokens = read_tokenizer(files.tokenizer)
    like = random_umt5().to(dtype)
    for prompt in map(cleaned, PROMPTS):
        got = umt5.encode(prompt, nothing)
        ids, dropped = within(tokens, prompt, LENGTH)
        whole_LE = torch.cat([got.text.embedding_LE, torch.zeros(got.text.zeros, DIM)])
        assert whole_LE.shape == (LENGTH, DIM) and len(got.text.embedding_LE) == len(ids)
        assert apart(whole_LE, theirs(like, ids)) <= bound, prompt
        assert got.text.weight_L.eq(1).all() and got.unknown == dropped
    umt5.free()


def test_both_kinds_of_tokenizer_agree_and_end_with_the_end_token(files: Umt5Files) -> None:
    by_json = read_tokenizer(files.tokenizer / "tokenizer")
    by_model = read_tokenizer(files.tokenizer / "source")
    for prompt in map(cleaned, PROMPTS):
        ids = by_model(prompt)
        assert by_json(prompt) == ids and ids[-1] == 1 and 1 not in ids[:-1]
    assert by_model("") == [1]


def test_what_is_too_long_is_cut_as_wan_cuts_it_and_its_words_are_named(files: Umt5Files) -> None:
    tokens = read_tokenizer(files.tokenizer)
    prompt = "an oil painting of warm neon street fog over a dark forest"
    ids = tokens(prompt)
    kept, dropped = within(tokens, prompt, 9)
    assert kept == [*ids[:8], 1]
    words = prompt.split()
    fitting = words[: len(words) - len(dropped)]
    assert dropped and [*fitting, *dropped] == words
    assert len(tokens(" ".join(fitting))) <= 9 < len(tokens(" ".join([*fitting, dropped[0]])))
    assert within(tokens, prompt, len(ids)) == (ids, ())


@pytest.mark.parametrize(
    ("stored", "used"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)],
)
def test_on_the_cpu_it_stays_in_the_file_in_its_own_type(
    model: nn.Module, tmp_path: Path, stored: torch.dtype, used: torch.dtype
) -> None:
    file = write_single(model, tmp_path / "umt5.safetensors", stored)
    sizes = umt5_sizes(file)
    loaded = load_umt5(file, sizes, CPU, None)
    assert {weight.dtype for weight in loaded.parameters()} == {used}
    is_mapped = str(file) in Path("/proc/self/maps").read_text()
    assert is_mapped == (stored == used)
    assert sizes.parameters == sum(weight.numel() for weight in loaded.parameters())
    assert sizes.bytes_as(used) == sum(weight.nbytes for weight in loaded.parameters())


class Placed(Exception):  # noqa: N818  # no error
    """Where the loader put the encoder."""


@pytest.mark.parametrize(("room", "placed"), [(10**12, "meta"), (0, "cpu")])
def test_goes_where_it_fits(
    monkeypatch: pytest.MonkeyPatch, files: Umt5Files, room: int, placed: str
) -> None:
    asked: list[int] = []

    def fits(size_bytes: int) -> bool:
        asked.append(size_bytes)
        return size_bytes <= room

    def load(_path: Path, _sizes: object, device: torch.device, *_: object) -> nn.Module:
        raise Placed(device.type)

    monkeypatch.setattr("limner.engine.wan.text_load.load_umt5", load)
    loader = umt5_loader(files, CONFIG, device=torch.device("meta"), fits=fits)
    with pytest.raises(Placed, match=placed):
        loader(nothing)
    assert len(asked) == 1 and asked[0] > umt5_sizes(files.encoder).bytes_as(torch.bfloat16)


def test_a_device_that_is_full_after_all_leaves_it_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, files: Umt5Files, caplog: pytest.LogCaptureFixture
) -> None:
    def load(path: Path, sizes: Any, device: torch.device, *rest: Any) -> nn.Module:
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load_umt5(path, sizes, device, *rest)

    monkeypatch.setattr("limner.engine.wan.text_load.load_umt5", load)
    umt5 = umt5_loader(files, CONFIG, device=torch.device("meta"))(nothing)
    assert umt5.encode("oil", nothing).text.length == LENGTH and "no room on meta" in caplog.text


def test_freeing_gives_the_weights_back_without_the_collector(files: Umt5Files) -> None:
    model = load_umt5(files.encoder, umt5_sizes(files.encoder), CPU, torch.float32)
    umt5 = Umt5(model, read_tokenizer(files.tokenizer), length=LENGTH)
    umt5.encode("oil", nothing)
    umt5.free()
    assert not any(weight.nbytes for weight in model.parameters())


def removed(folder: Path) -> None:
    next(folder.glob("text_encoder/*.safetensors")).unlink()


def cut(folder: Path) -> None:
    shard = next(folder.glob("text_encoder/*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])


def no_encoder(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")
    (folder / "text_encoder").mkdir()
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "text_encoder" / "vae.pth")


def no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").write_text('{"model": 7}')


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (removed, WeightsError, r"this shard is missing"),
        (cut, WeightsError, r"\.safetensors.*"),
        (no_encoder, WeightsError, r"text_encoder.*no UMT5 encoder|umt5.*no UMT5 encoder"),
        (no_tokenizer, TextError, r"there is no tokenizer \(tokenizer.json or spiece.model\)"),
        (damaged_tokenizer, TextError, r"tokenizer.json: damaged, or no tokenizer"),
    ],
)
def test_damage_is_named_and_reaches_who_asked(
    files: Umt5Files,
    tmp_path: Path,
    damage: Callable[[Path], None],
    error: type[Exception],
    message: str,
) -> None:
    folder = tmp_path / "umt5"
    shutil.copytree(files.encoder, folder)
    damage(folder)
    mine = Umt5Files(encoder=folder, tokenizer=folder)
    with pytest.raises(error, match=message):
        umt5_loader(mine, CONFIG, device=CPU)(nothing)
    text = Umt5Text(CONFIG)
    connect_umt5(text, mine, device=CPU)
    with pytest.raises(TextError, match=message):
        text.encode("oil")
    text.close()


def test_a_sentencepiece_model_without_an_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"no model")
    with pytest.raises(TextError, match=r"spiece\.model: damaged, or no tokenizer"):
        read_tokenizer(tmp_path)


def test_an_encoder_of_another_width_is_refused(files: Umt5Files) -> None:
    text = Umt5Text(Umt5Config(dim=DIM * 2, length=LENGTH))
    connect_umt5(text, files, device=CPU)
    with pytest.raises(TextError, match="gives tokens of width 32, the model takes 64"):
        text.encode("oil")
    text.close()


def test_texts_are_kept_on_disk_until_the_files_change(
    model: nn.Module, tmp_path: Path, files: Umt5Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, mine = tmp_path / "cache", tmp_path / "mine"
    shutil.copytree(files.encoder, mine)
    loads: list[Path] = []

    def load(path: Path, *rest: Any) -> nn.Module:
        loads.append(path)
        return load_umt5(path, *rest)

    monkeypatch.setattr("limner.engine.wan.text_load.load_umt5", load)

    def encoded() -> Tensor:
        text = Umt5Text(CONFIG)
        connect_umt5(text, Umt5Files(encoder=mine, tokenizer=mine), device=CPU, cache_dir=cache)
        embedding = text.encode("an oil painting").text.embedding_LE
        text.close()
        return embedding

    first, second = encoded(), encoded()
    assert torch.equal(first, second) and len(loads) == 1
    shutil.rmtree(mine / "text_encoder")
    write_transformers(random_umt5(seed=1), mine / "text_encoder")
    assert not torch.equal(encoded(), first) and len(loads) == 2


NO_NETWORK = """
import socket, sys
from pathlib import Path
def refuse(*_): raise AssertionError("it wants the network")
socket.socket.connect = socket.getaddrinfo = refuse
import torch
from limner.engine.wan.text import Umt5Config, Umt5Text
from limner.engine.wan.text_load import Umt5Files, connect_umt5
assert "transformers" not in sys.modules, "that takes seconds, and pocket does not need it"
text = Umt5Text(Umt5Config(dim=32, length=16))
folder = Path(sys.argv[1])
connect_umt5(text, Umt5Files(encoder=folder, tokenizer=folder), device=torch.device("cpu"))
assert "transformers.models.umt5.modeling_umt5" in sys.modules, "else it is imported while live"
assert text.encode("an oil painting").text.length == 16
text.close()
"""


def test_nothing_is_fetched_and_imports_come_with_connecting(files: Umt5Files) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, str(files.encoder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_it_asks_often_whether_to_go_on(files: Umt5Files) -> None:
    asked: list[str] = []
    umt5 = umt5_loader(files, CONFIG, device=CPU)(lambda: asked.append("load"))
    umt5.encode("oil", lambda: asked.append("encode"))
    assert asked.count("load") > 20 and asked.count("encode") == 3
    umt5.encode("oil", nothing)
    assert asked.count("encode") == 3
    umt5.free()
