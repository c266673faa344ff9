"""Tiny files in every format that users have, each kind of damage, and what is said of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.engine.wan.vaes import SMALL, wan_vae
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.errors import WeightsError
from limner.engine.wan import keys, keys_text, keys_vae
from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.vae import WanVae
from limner.engine.weights import load_weights, read_weights

CONFIG = DiTConfig(
    latent_channels=4, dim=16, ffn_dim=24, heads=2, layers=2, text_dim=12, freq_dim=8, window_frames=4
)
UMT5 = UMT5Config(d_model=16, d_kv=4, num_heads=2, d_ff=24, num_layers=2, vocab_size=11)
Tensors = dict[str, Tensor]


def dit_tensors() -> Tensors:
    return {name: torch.randn(tensor.shape) for name, tensor in CausalDiT(CONFIG).state_dict().items()}


def meta_dit() -> CausalDiT:
    with torch.device("meta"):
        return CausalDiT(CONFIG)


def load_dit(path: Path, top_key: str | None = None) -> CausalDiT:
    dit = meta_dit()
    load_weights(dit, path, part="transformer", top_key=top_key, naming=keys.dit_names)
    return dit


def assert_holds(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    held = module.state_dict()
    assert held.keys() == tensors.keys()
    assert all(torch.equal(held[name], tensor) for name, tensor in tensors.items())


def save_shards(
    tensors: Tensors, folder: Path, stem: str = "diffusion_pytorch_model", count: int = 3
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    for number in range(count):
        name = f"{stem}-{number + 1:05}-of-{count:05}.safetensors"
        shard = {key: tensors[key] for key in sorted(tensors)[number::count]}
        save_file(shard, folder / name)
        places |= dict.fromkeys(shard, name)
    index = folder / f"{stem}.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": places}))
    return index


def renamed(tensors: Tensors, rename: Callable[[str], str]) -> Tensors:
    return {rename(name): tensor for name, tensor in tensors.items()}


def write_one_file(tensors: Tensors, folder: Path) -> Path:
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    return folder / "diffusion_pytorch_model.safetensors"


def write_hub_folder(tensors: Tensors, folder: Path) -> Path:
    # As Wan keeps it: the other parts' pickles lie beside.
    torch.save({"x": torch.zeros(1)}, folder / "Wan2.1_VAE.pth")
    write_one_file(tensors, folder)
    return folder


def write_shards(tensors: Tensors, folder: Path) -> Path:
    save_shards(tensors, folder)
    return folder


def write_index(tensors: Tensors, folder: Path) -> Path:
    return save_shards(tensors, folder)


def write_diffusers(tensors: Tensors, folder: Path) -> Path:
    save_shards(renamed(tensors, keys.to_diffusers), folder / "transformer")
    return folder


def write_diffusers_part(tensors: Tensors, folder: Path) -> Path:
    write_diffusers(tensors, folder)
    return folder / "transformer"


def write_causal(tensors: Tensors, folder: Path) -> Path:
    weights = renamed(tensors, lambda name: f"model.{name}")
    torch.save({"generator": weights, "step": 600}, folder / "model.pt")
    return folder / "model.pt"


def write_sharded_in_training(tensors: Tensors, folder: Path) -> Path:
    weights = renamed(tensors, lambda name: f"model._fsdp_wrapped_module.{name}")
    torch.save({"generator_ema": weights, "critic": {"x": torch.zeros(1)}}, folder / "model.pt")
    return folder


def write_state_dict(tensors: Tensors, folder: Path) -> Path:
    torch.save({"state_dict": tensors}, folder / "a.pth")
    return folder


def write_bare_pickle(tensors: Tensors, folder: Path) -> Path:
    torch.save(tensors, folder / "a.bin")
    return folder / "a.bin"


def write_old_pickle(tensors: Tensors, folder: Path) -> Path:
    torch.save(tensors, folder / "a.pth", _use_new_zipfile_serialization=False)
    return folder / "a.pth"


WRITERS = [
    write_one_file,
    write_hub_folder,
    write_shards,
    write_index,
    write_diffusers,
    write_diffusers_part,
    write_causal,
    write_sharded_in_training,
    write_state_dict,
    write_bare_pickle,
    write_old_pickle,
]


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_loads(write: Callable[[Tensors, Path], Path], tmp_path: Path) -> None:
    tensors = dit_tensors()
    assert_holds(load_dit(write(tensors, tmp_path)), tensors)


def test_the_name_of_a_file_says_nothing(tmp_path: Path) -> None:
    tensors = dit_tensors()
    save_file(tensors, tmp_path / "weights.pth")
    assert_holds(load_dit(tmp_path / "weights.pth"), tensors)
    torch.save(tensors, tmp_path / "weights.safetensors")
    refused(tmp_path / "weights.safetensors", "PyTorch checkpoint in spite of its name")


def test_the_key_of_a_checkpoint_can_be_chosen(tmp_path: Path) -> None:
    tensors, averaged = dit_tensors(), dit_tensors()
    torch.save({"generator": tensors, "generator_ema": averaged}, path := tmp_path / "model.pt")
    assert_holds(load_dit(path), tensors)
    assert_holds(load_dit(path, "generator_ema"), averaged)
    with pytest.raises(WeightsError, match=r"model\.pt: .*under critic; it has generator, generator_ema"):
        load_dit(path, "critic")


def test_wans_text_encoder_fits_transformers_and_its_table_stays_one(tmp_path: Path) -> None:
    source = UMT5EncoderModel(UMT5)
    torch.save(
        {keys_text.to_wan(name): tensor.clone() for name, tensor in source.state_dict().items()},
        path := tmp_path / "models_t5_umt5-xxl-enc-bf16.pth",
    )
    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5)
    load_weights(encoder, path, naming=keys_text.text_names)
    assert_holds(encoder, source.state_dict())
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


@pytest.mark.parametrize("left_out", ["shared.weight", "encoder.embed_tokens.weight"])
def test_a_table_with_two_names_may_come_under_either(left_out: str, tmp_path: Path) -> None:
    source = UMT5EncoderModel(UMT5).state_dict()
    save_shards(
        {k: v.clone() for k, v in source.items() if k != left_out}, tmp_path / "text_encoder", "model"
    )
    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5)
    load_weights(encoder, tmp_path, part="text_encoder", naming=keys_text.text_names)
    assert_holds(encoder, source)
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


def test_a_module_keeps_its_types_and_hears_of_each_part_and_of_progress(tmp_path: Path) -> None:
    tensors = dit_tensors()
    full: list[str] = []
    progress: list[tuple[int, int]] = []
    dit = meta_dit().to(torch.bfloat16)

    def on_full(name: str, module: nn.Module) -> None:
        assert not any(tensor.is_meta for tensor in module.state_dict().values()), name
        full.append(name)

    load_weights(
        dit,
        write_one_file(tensors, tmp_path),
        naming=keys.dit_names,
        on_full=on_full,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert all(tensor.dtype == torch.bfloat16 for tensor in dit.state_dict().values())
    assert full.index("blocks.0.self_attn.q") < full.index("blocks.0.self_attn") < full.index("blocks.0")
    assert full[-1] == "" and len(full) == len(set(full)) == len(list(dit.modules()))
    total = sum(tensor.nbytes for tensor in tensors.values())
    assert len(progress) == len(tensors) and progress[-1] == (total, total)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_a_layer_may_change_as_soon_as_it_is_full(tmp_path: Path) -> None:
    def halve(_: str, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.half())

    dit = meta_dit()
    load_weights(dit, write_one_file(dit_tensors(), tmp_path), naming=keys.dit_names, on_full=halve)
    assert dit.get_parameter("blocks.1.ffn.2.weight").dtype == torch.float16
    assert dit.get_parameter("blocks.1.ffn.2.bias").dtype == torch.float32


def test_mapped_tensors_stay_in_the_file_where_the_type_is_right(tmp_path: Path) -> None:
    tensors = dit_tensors()
    tensors["head.head.bias"] = tensors["head.head.bias"].bfloat16()
    given, dit = read_weights(write_one_file(tensors, tmp_path)), meta_dit()
    load_weights(dit, given, naming=keys.dit_names, mapped=True)
    assert_holds(dit, tensors | {"head.head.bias": tensors["head.head.bias"].float()})
    for name, parameter in dit.named_parameters():
        assert (parameter.data_ptr() == given[name].data_ptr()) == (name != "head.head.bias")


def wan_vae_file(folder: Path) -> Path:
    torch.save(wan_vae().state_dict(), folder / "Wan2.1_VAE.pth")
    return folder / "Wan2.1_VAE.pth"


def diffusers_vae_folder(folder: Path) -> Path:
    (folder / "vae").mkdir()
    write_one_file(renamed(wan_vae().state_dict(), keys_vae.to_diffusers), folder / "vae")
    (folder / "vae" / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("write", [wan_vae_file, diffusers_vae_folder])
def test_the_autoencoder_loads_from_wans_file_and_from_diffusers_folder(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    with torch.device("meta"):
        vae = WanVae(SMALL)
    load_weights(vae, write(tmp_path), part="vae", naming=keys_vae.vae_names)
    expected = wan_vae()
    assert_holds(vae, expected.state_dict())
    clip = torch.rand(1, 3, 5, 16, 24) * 2 - 1
    assert torch.equal(vae.eval().encode(clip), expected.encode(clip))


def test_the_small_autoencoder_loads_from_its_file(tmp_path: Path) -> None:
    config = TaehvConfig(encoder_width=8, decoder_widths=(16, 8, 8, 8))
    expected = Taehv(config).state_dict()
    torch.save(expected, tmp_path / "taew2_1.pth")
    with torch.device("meta"):
        small = Taehv(config)
    load_weights(small, tmp_path / "taew2_1.pth")
    assert_holds(small, expected)


# Damage: whatever is wrong, one error names file and key, and the module is as it was.


def refused(path: Path, match: str, **options: Any) -> None:
    dit = CausalDiT(CONFIG)
    before = {name: tensor.clone() for name, tensor in dit.state_dict().items()}
    with pytest.raises(WeightsError, match=match) as error:
        load_weights(dit, path, part="transformer", naming=keys.dit_names, **options)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert_holds(dit, before)


@pytest.mark.parametrize("write", [write_one_file, write_causal, write_old_pickle, write_diffusers_part])
@pytest.mark.parametrize("keep", [0, 7, 300, -100, 0.5])
def test_a_cut_off_file(write: Callable[[Tensors, Path], Path], keep: float, tmp_path: Path) -> None:
    path = write(dit_tensors(), tmp_path)
    file = path if path.is_file() else sorted(path.glob("*.safetensors"))[1]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    refused(path, file.name)


def test_a_missing_key_is_spelled_as_the_file_would(tmp_path: Path) -> None:
    tensors = dit_tensors()
    del tensors["blocks.1.norm3.weight"]
    refused(write_one_file(tensors, tmp_path), r"lacks blocks\.1\.norm3\.weight; .*a Wan denoiser")
    (tmp_path / "there").mkdir()
    there = write_diffusers(tensors, tmp_path / "there")
    refused(there, r"lacks blocks\.1\.norm2\.weight; .*a Wan denoiser in diffusers' names")


def test_many_missing_keys_are_counted(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in dit_tensors().items() if not name.startswith("blocks.1.")}
    missing = len(CausalDiT(CONFIG).blocks[1].state_dict())
    refused(write_one_file(tensors, tmp_path), rf"lacks blocks\.1\..*, .*, .* and {missing - 3} more")


def test_a_surplus_key_is_named(tmp_path: Path) -> None:
    refused(write_causal({**dit_tensors(), "wings": torch.zeros(1)}, tmp_path), r"has unknown model\.wings")


def test_the_same_tensor_twice_is_refused(tmp_path: Path) -> None:
    tensors = dit_tensors()
    tensors["_orig_mod.head.head.bias"] = tensors["head.head.bias"].clone()
    refused(write_one_file(tensors, tmp_path), r"head\.head\.bias under another name too")


def test_the_weights_of_another_part_are_named_for_what_they_are(tmp_path: Path) -> None:
    torch.save({"decoder.3.conv.0.weight": torch.zeros(1)}, path := tmp_path / "taew2_1.pth")
    refused(path, r"lacks .*it looks like a TAEHV autoencoder")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    tensors = dit_tensors() | {"head.head.bias": torch.zeros(17)}
    refused(write_causal(tensors, tmp_path), r"model\.head\.head\.bias has the shape \[17\].*\[16\]")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    tensors = dit_tensors() | {"head.head.bias": torch.zeros(16, dtype=torch.int8)}
    refused(write_one_file(tensors, tmp_path), r"head\.head\.bias holds torch\.int8.*unquantised")


class _Code:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, new: bool) -> None:
    mark, path = tmp_path / "code-ran", tmp_path / "model.pt"
    torch.save({"generator": dit_tensors(), "x": _Code(mark)}, path, _use_new_zipfile_serialization=new)
    refused(path, r"model\.pt: holds more than tensors \(posix\.mkdir\).*not opened")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([torch.zeros(1)], "holds a list, not named tensors"),
        ({"generator": {"a": 3}}, "a is a int, not a tensor"),
        ({"a": torch.zeros(1), "b": "c"}, "b is a str, not a tensor"),
        ({"generator": {3: torch.zeros(1)}}, "3 is no name of a tensor"),
    ],
)
def test_a_pickle_of_something_else(content: object, match: str, tmp_path: Path) -> None:
    torch.save(content, path := tmp_path / "model.pt")
    refused(path, match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"a letter to a friend" * 30, "damaged"),
        (b"\x80\x02 and no more than this", "damaged"),
        (b"\xff" * 8 + b"{" * 100, "cut off"),
        (b"PK\x03\x04 and no more than this", "damaged"),
    ],
)
def test_no_weights_at_all(content: bytes, match: str, tmp_path: Path) -> None:
    (path := tmp_path / "model.pt").write_bytes(content)
    refused(path, match)


def test_a_missing_file_and_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.pt", "there is no such weights file")
    refused(tmp_path, "holds no weights")


def test_a_folder_with_several_files_wants_one_named(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        torch.save(dit_tensors(), tmp_path / name)
    refused(tmp_path, r"several weights \(a\.pt, b\.pt\); name the file")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_shards(dit_tensors(), tmp_path)
    (folder / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    refused(folder, r"00002-of-00003\.safetensors: this shard is missing")


def test_a_shard_that_is_not_as_the_index_says(tmp_path: Path) -> None:
    folder = write_shards(dit_tensors(), tmp_path)
    first, second, _ = sorted(folder.glob("*.safetensors"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    refused(folder, r"00001-of-00003\.safetensors: lacks .* more, by ")
    first.write_bytes(content)
    save_file({**read_weights(second), "wings": torch.zeros(1)}, tmp_path / "x")
    (tmp_path / "x").replace(second)
    refused(folder, r"00002-of-00003\.safetensors: has unknown wings")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}', '{"weight_map": {"a": 3}}']
)
def test_a_damaged_index(content: str, tmp_path: Path) -> None:
    write_index(dit_tensors(), tmp_path).write_text(content)
    refused(tmp_path, r"diffusion_pytorch_model\.safetensors\.index\.json")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ""])
def test_an_index_cannot_point_out_of_its_folder(name: str, tmp_path: Path) -> None:
    write_index(dit_tensors(), tmp_path).write_text(json.dumps({"weight_map": {"a": name}}))
    refused(tmp_path, "no file of this folder|missing")
