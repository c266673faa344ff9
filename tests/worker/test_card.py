"""A worker sees the card that it paints on, and no other."""

from __future__ import annotations

import pytest
from tests.models.test_plan_cards import GTX, RTX

from limner.models.plan_cards import Cards, cards_from
from limner.models.plan_seen import VISIBLE
from limner.worker.card import see_only

FOUND = cards_from(0, f"{RTX}\n{GTX.replace('6.1', '8.6')}\n")
ORDER = "CUDA_DEVICE_ORDER"


@pytest.mark.parametrize(
    ("device", "seen", "called"), [("auto", "0", "auto"), ("cuda", "0", "cuda"), ("cuda:1", "1", "cuda")]
)
def test_the_card_that_was_planned_for_is_the_one_that_torch_sees(
    device: str, seen: str, called: str
) -> None:
    environment: dict[str, str] = {}
    assert see_only(device, FOUND, environment) == called
    assert environment == {VISIBLE: seen, ORDER: "PCI_BUS_ID"}


@pytest.mark.parametrize("device", ["cpu", "cuda:7"])
def test_what_is_no_card_is_left_to_torch(device: str) -> None:
    environment: dict[str, str] = {}
    assert see_only(device, FOUND, environment) == device
    assert see_only("auto", Cards(), environment) == "auto"
    assert environment == {}


def test_who_has_chosen_already_is_left_alone() -> None:
    environment = {VISIBLE: "1,0"}
    assert see_only("cuda:1", FOUND, environment) == "cuda:1"
    assert environment == {VISIBLE: "1,0"}
