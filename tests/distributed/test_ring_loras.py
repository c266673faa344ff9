"""LoRAs over ranks: each reads its part, all switch between the same chunks, blocks take them along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.distributed.rings import Ranks, ranks, tiny_of, weights_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights
from torch import Tensor

from limner.engine.blocks import Split
from limner.engine.engine import Engine
from limner.engine.errors import WeightsError
from limner.engine.files import LoraShare
from limner.engine.overlap import OverlappedStream
from limner.engine.pipeline.commands import LoraFile
from limner.engine.pipeline.lanes import PipelineLanes
from limner.engine.pipeline.lora_orders import LoraDuty
from limner.engine.pipeline.loras import digest_of
from limner.engine.pipeline.part_dit import BlockFiles

LAYERS = 5
CONFIG = tiny_of(LAYERS)
SPLIT: Split = ((0, 2), (2, 4), (4, 5))
OTHER: Split = ((0, 0), (0, 1), (1, 5))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_of(random_weights(CONFIG), tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def shares(weights: Path) -> Sequence[LoraShare]:
    """Two LoRAs: one of all layers and of some biases and norms, one of the blocks' feed-forward."""
    base = {n.removeprefix("dit."): t for n, t in random_weights(CONFIG).items() if n.startswith("dit.")}
    matrices = {n.removesuffix(".weight"): t for n, t in base.items() if n.endswith(".weight") and t.ndim > 1}
    torch.manual_seed(3)
    whole = pairs_of(matrices, 4)
    biases = {n.removesuffix(".bias"): t for n, t in base.items() if n.endswith("ffn.0.bias")}
    whole |= {f"{n}.diff_b": torch.randn_like(t) for n, t in biases.items()}
    whole |= {n.replace(".weight", ".diff"): torch.randn_like(t) for n, t in base.items() if "norm_q" in n}
    some = pairs_of({n: t for n, t in matrices.items() if ".ffn." in n}, 17)
    for name, tensors in (("whole", whole), ("some", some)):
        save_file(tensors, weights.parent / f"{name}.safetensors")
    return [
        LoraShare(path=weights.parent / "whole.safetensors", weight=0.7),
        LoraShare(path=weights.parent / "some.safetensors", weight=-0.4),
    ]


def pairs_of(matrices: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    pairs = {}
    for name, tensor in matrices.items():
        down, up = (rank, *tensor.shape[1:]), (len(tensor), rank, *[1] * (tensor.ndim - 2))
        pairs[f"{name}.lora_A.weight"], pairs[f"{name}.lora_B.weight"] = (
            torch.randn(shape) * 0.2 for shape in (down, up)
        )
    return pairs


@pytest.fixture(scope="module")
def three(weights: Path) -> Iterator[Ranks]:
    with ranks(CONFIG, weights, SPLIT) as made:
        yield made


@pytest.fixture
def alone(weights: Path) -> Engine:
    return Engine(CONFIG, weights, dtype=torch.float32)


def switching(
    engine: Engine, changes: Mapping[int, Sequence[LoraShare]], moves: Mapping[int, Split], made: Ranks
) -> Tensor:
    """Frames of a stream whose engine gets LoRAs before these chunks, and whose blocks move."""
    stream, out = stream_of(engine, steps=2, stream_batch=False), []
    for number, chunk in enumerate(clip(12)):
        if number in changes:
            engine.set_loras(changes[number])
        if number in moves and engine is made.engine:
            made.engine.rebalance(moves[number])
            if number % 2:  # Else it is on its way while LoRAs change.
                made.wait_for_split(moves[number])
        out += [one for one in [stream.push(chunk)] if one is not None]
    return frames_of(out)


def test_frames_are_those_of_one_process_whatever_moves(
    alone: Engine, three: Ranks, shares: Sequence[LoraShare]
) -> None:
    changes = {2: shares[:1], 5: shares, 7: shares[1:], 10: []}
    moves = {3: OTHER, 4: SPLIT, 6: OTHER, 9: SPLIT}
    expected = switching(alone, changes, moves, three)
    assert torch.equal(switching(three.engine, changes, moves, three), expected)
    assert torch.equal(switching(alone, {}, {}, three)[:8], expected[:8])
    assert not torch.equal(switching(alone, {}, {}, three)[8:12], expected[8:12]), "it does nothing"
    assert not torch.equal(switching(alone, {2: shares[:1]}, {}, three)[20:24], expected[20:24])
    three.wait_for_split(SPLIT)


def test_what_was_with_loras_is_without_them_as_ever(
    alone: Engine, three: Ranks, shares: Sequence[LoraShare]
) -> None:
    before = frames_of(painted(stream_of(alone), clip(4)))
    three.engine.set_loras(shares)
    assert not torch.equal(frames_of(painted(stream_of(three.engine), clip(4))), before)
    three.engine.set_loras([])
    assert torch.equal(frames_of(painted(stream_of(three.engine), clip(4))), before)


def test_on_lanes_it_comes_between_two_chunks(
    alone: Engine, three: Ranks, shares: Sequence[LoraShare]
) -> None:
    expected = switching(alone, {3: shares, 8: []}, {}, three)
    with PipelineLanes(three.engine) as lanes:
        stream = OverlappedStream(stream_of(three.engine, steps=2), lanes)
        out = []
        for number, chunk in enumerate(clip(12)):
            if number in (3, 8):
                prepared = three.engine.read_loras(shares if number == 3 else [])
                lanes.between(lambda prepared=prepared: three.engine.use_loras(prepared))  # type: ignore[misc]
            stream.push(chunk)
            out += stream.collect()
        out += stream.drain()
    assert torch.equal(frames_of(out), expected)


def test_a_rank_that_lacks_the_file_or_has_another_is_named(
    three: Ranks, shares: Sequence[LoraShare], weights: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here.safetensors"
    here.write_bytes(shares[0].path.read_bytes())
    with pytest.raises(WeightsError, match=r"rank [12]: .*here\.safetensors: cannot be read"):
        three.engine.set_loras([LoraShare(path=here)])
    (weights.parent / here.name).write_bytes(shares[1].path.read_bytes())
    with pytest.raises(WeightsError, match=r"rank [12]: .*here\.safetensors is another file"):
        three.engine.set_loras([LoraShare(path=here)])
    assert len(painted(stream_of(three.engine), clip(3))) == 3


def test_ranks_that_gather_anew_have_what_is_in_force(
    alone: Engine, weights: Path, shares: Sequence[LoraShare]
) -> None:
    alone.set_loras(shares)
    expected = frames_of(painted(stream_of(alone), clip(4)))
    with ranks(CONFIG, weights, (*SPLIT[:1], (2, 5))) as made:
        made.engine.set_loras(shares)
        made.alone()
        assert torch.equal(frames_of(painted(stream_of(made.engine), clip(4))), expected)


def files_of(weights: Path, dtype: torch.dtype = torch.float32) -> BlockFiles:
    return BlockFiles(
        CONFIG, weights, device=torch.device("cpu"), dtype=dtype, lora_path=weights.parent.joinpath
    )


def named(shares: Sequence[LoraShare]) -> tuple[LoraFile, ...]:
    return tuple(LoraFile(name=s.path.name, sha256=digest_of(s.path), weight=s.weight) for s in shares)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "packed"])
def test_each_rank_reads_the_part_of_its_blocks(
    weights: Path, shares: Sequence[LoraShare], dtype: torch.dtype
) -> None:
    files = files_of(weights, dtype)
    rest, block = files.dit(is_first=False), files.block(3)
    ready = files.loras.read(named(shares))
    names = {name for prepared in ready.by_part.values() for name in (*prepared.pairs, *prepared.values)}
    assert {name.split(".")[0] for name in names} == {"blocks", "head"}
    assert {name.split(".")[1] for name in names if name.startswith("blocks")} == {"3"}
    assert {"blocks.3.ffn.0", "blocks.3.self_attn.q"} <= names, "where products are"
    assert rest.held == [] and block is not None


def test_a_block_that_is_loaded_while_loras_change_has_the_newest(
    weights: Path, shares: Sequence[LoraShare]
) -> None:
    files, x = files_of(weights), torch.randn(1, 3, CONFIG.dit.dim)
    plain = files.block(0)
    ready = files.loras.read(named(shares))
    late = files.block(0)
    files.loras.use(ready)
    after = files.block(0)
    with torch.inference_mode():
        outs = [block.ffn(x) for block in (plain, late, after)]
        assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])
        files.loras.use(files.loras.read(()))
        assert not torch.equal(plain.ffn(x), outs[0])


def test_blocks_that_are_gone_are_not_kept(weights: Path) -> None:
    files = files_of(weights)
    block = files.block(0)
    assert len(files.loras._parts) == 1
    del block
    assert len(files.loras._parts) == 0


def test_a_rank_that_cannot_have_them_as_a_generation_begins_says_why(
    weights: Path, shares: Sequence[LoraShare]
) -> None:
    files = files_of(weights)
    block = files.block(0)
    duty = LoraDuty(files.loras, torch.device("cpu"))
    used = []
    assert duty.begin(named(shares), lambda ready: used.append(files.loras.use(ready))) == ""
    assert files.loras.in_force == named(shares)
    gone = LoraFile(name="gone.safetensors", sha256="", weight=1.0)
    why = duty.begin((gone,), lambda ready: used.append(files.loras.use(ready)))
    assert "gone.safetensors" in why and files.loras.in_force == ()
    assert block.ffn[0].extra is None
