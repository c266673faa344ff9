"""Streams over several devices, and several streams in a forward."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limner.engine.slo import FITS
from limner.engine.slo_admit import Asking, Refused
from limner.engine.slo_batch import batch_of, delay_ms, use_of
from limner.engine.slo_cost import Profile
from limner.engine.slo_devices import place
from limner.engine.slo_plan import Limits, Plan

CAMERA = Asking(limits=Limits(fps=30, sizes=((320, 176),), adapt=False, mode="latency"), profile=Profile())
FAST = replace(CAMERA, load=0.25)
PLAN = Plan(steps=1, stream_batch=False, chunk_latents=1, size=(320, 176))


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


# ---- several in a forward


def test_streams_share_a_forward_only_where_they_must() -> None:
    assert batch_of([(CAMERA, PLAN)] * 2, most=4) == 1
    three = [(replace(CAMERA, limits=replace(CAMERA.limits, latency_ms=900)), PLAN)] * 3
    assert use_of(three, 1) > FITS
    together = batch_of(three, most=4)
    assert together > 1
    assert use_of(three, together) < use_of(three, 1)


def test_a_batch_that_breaks_a_delay_is_not_made() -> None:
    hasty = [(replace(CAMERA, limits=replace(CAMERA.limits, latency_ms=290)), PLAN)] * 3
    assert delay_ms(*hasty[0], 2) > 290
    assert batch_of(hasty, most=4) == 1


def test_only_alike_streams_share_a_forward() -> None:
    other = replace(PLAN, steps=2)
    assert batch_of([(CAMERA, PLAN), (CAMERA, other), (CAMERA, PLAN)], most=4) == 1


def test_use_never_grows_with_the_batch() -> None:
    streams = [(CAMERA, PLAN)] * 8
    uses = [use_of(streams, k) for k in range(1, 9)]
    assert uses == sorted(uses, reverse=True)
