"""What nvidia-smi says, understood."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from limner.models.plan_cards import Card, Cards, cards, cards_from
from limner.models.plan_seen import VISIBLE, card_for

MIB = 2**20
RTX = "0, NVIDIA GeForce RTX 4090, 24564, 22011, 8.9, 550.54.14, [N/A]"
GTX = "1, NVIDIA GeForce GTX 1080, 8192, 7900, 6.1, 550.54.14, [N/A]"


def test_a_card_is_read() -> None:
    assert cards_from(0, f"{RTX}\n").cards == (
        Card(
            index=0,
            name="NVIDIA GeForce RTX 4090",
            total_bytes=24564 * MIB,
            free_bytes=22011 * MIB,
            capability=(8, 9),
            driver="550.54.14",
        ),
    )


def test_of_several_the_one_with_the_most_free_memory_is_the_best() -> None:
    found = cards_from(0, f"{GTX}\n{RTX}\n")
    assert [card.index for card in found.cards] == [1, 0]
    assert found.best is not None and found.best.index == 0
    assert [card.has_fp8 for card in found.cards] == [False, True]


def test_a_card_that_is_too_old_is_the_best_only_if_there_is_no_other() -> None:
    little = RTX.replace("22011", "900")
    best = cards_from(0, f"{little}\n{GTX}\n").best
    assert best is not None and best.index == 0
    alone = cards_from(0, GTX).best
    assert alone is not None and alone.index == 1


@pytest.mark.parametrize(
    ("device", "environment", "index"),
    [
        ("auto", {}, 0),
        ("cuda", {}, 0),
        ("cuda:1", {}, 1),
        ("cuda:2", {}, None),
        ("cpu", {}, None),
        ("cuda:1", {VISIBLE: "1,0"}, 0),
        ("auto", {VISIBLE: "1"}, 1),
        ("cuda:1", {VISIBLE: "1"}, None),
        ("auto", {VISIBLE: ""}, None),
        ("auto", {VISIBLE: "GPU-8932f937"}, None),
    ],
)
def test_which_card_a_device_means(device: str, environment: dict[str, str], index: int | None) -> None:
    found = cards_from(0, f"{RTX}\n{GTX}\n")
    card = card_for(device, found, environment)
    assert (card.index if card else None) == index


def test_a_card_that_cannot_be_used_moves_no_numbers() -> None:
    mig = "0, NVIDIA H100 80GB HBM3, 81559, [N/A], 9.0, 550.54.14, Enabled"
    found = cards_from(0, f"{mig}\n{GTX}\n")
    card = card_for("cuda:1", found, {})
    assert card is not None and "1080" in card.name
    assert card_for("cuda:0", found, {}) is None


def test_one_card_that_cannot_be_used_does_not_take_the_others_away() -> None:
    mig = "1, NVIDIA H100 80GB HBM3, 81559, [N/A], 9.0, 550.54.14, Enabled"
    lost = "2, NVIDIA A10, [Unknown Error], [Unknown Error], 8.6, 550.54.14, Disabled"
    found = cards_from(0, f"{RTX}\n{mig}\n{lost}\n")
    assert [card.index for card in found.cards] == [0]
    assert ["MIG" in found.faults[0].text, "A10" in found.faults[1].text] == [True, True]


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (
            18,
            "Failed to initialize NVML: Driver/library version mismatch\nNVML: 535.1",
            "old",
        ),
        (4, "Failed to initialize NVML: Insufficient Permissions", "may not use"),
        (
            9,
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that",
            "no NVIDIA driver",
        ),
        (6, "No devices were found", "no NVIDIA GPU"),
        (255, "Failed to initialize NVML: Unknown Error", "no access"),
        (2, 'Field "compute_cap" is not a valid field to query.', "too old"),
        (
            15,
            "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the system",
            "lost",
        ),
        (7, "something new\nand more", "something new"),
        (1, "", "nothing"),
    ],
)
def test_each_fault_is_one_sentence_with_advice(code: int, said: str, words: str) -> None:
    for out, err in ((said, ""), ("", said)):
        found = cards_from(code, out, err)
        assert found.best is None
        (fault,) = found.faults
        assert words in fault.text and "\n" not in fault.text and fault.advice


def test_the_tool_is_asked(tmp_path: Path) -> None:
    tool = fake_tool(tmp_path, f'echo "{RTX}"\n')
    assert cards(str(tool)).best is not None
    asked = (tmp_path / "asked").read_text()
    assert "--query-gpu=index,name,memory.total,memory.free,compute_cap" in asked and "csv" in asked


def test_a_tool_that_fails_or_is_none(tmp_path: Path) -> None:
    tool = fake_tool(tmp_path, 'echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18\n')
    assert "restart" in cards(str(tool)).faults[0].advice
    assert "cannot be run" in cards(str(tmp_path / "none")).faults[0].text


def test_without_the_tool_there_is_no_card_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cards() == Cards()


def fake_tool(folder: Path, body: str) -> Path:
    tool = folder / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n{body}')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    return tool
