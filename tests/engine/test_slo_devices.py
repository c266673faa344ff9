"""Streams over several devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limner.engine.slo_admit import Asking, Refused
from limner.engine.slo_cost import Profile
from limner.engine.slo_devices import place
from limner.engine.slo_plan import Limits

CAMERA = Asking(limits=Limits(fps=30, sizes=((320, 176),), adapt=False, mode="latency"), profile=Profile())
FAST = replace(CAMERA, load=0.25)


def test_the_freest_device_gets_the_stream() -> None:
    assert place([[CAMERA], []], [CAMERA, CAMERA]) == 1
    assert place([[], []], [CAMERA, CAMERA]) == 0


def test_a_faster_card_gets_more_streams() -> None:
    devices: list[list[Asking]] = [[], []]
    while not isinstance(where := place(devices, [CAMERA, FAST]), Refused):
        devices[where].append((CAMERA, FAST)[where])
    assert len(devices[1]) >= 3 * len(devices[0])
    assert where.streams == len(devices[where.streams > 3]) + 1


def test_a_stream_too_many_hears_of_the_device_that_is_nearest() -> None:
    slow = replace(CAMERA, limits=replace(CAMERA.limits, fps=8.0, latency_ms=1500))
    refused = place([[CAMERA, CAMERA], [CAMERA, slow]], [CAMERA, CAMERA])
    assert isinstance(refused, Refused)
    assert refused.offer.fps == 25


def test_devices_and_costs_go_together() -> None:
    with pytest.raises(ValueError, match="2 devices and 1 costs"):
        place([[], []], [CAMERA])
