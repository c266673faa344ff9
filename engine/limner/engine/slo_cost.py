"""What a plan costs on a device, and whether it keeps up. Pure functions of measured times, no torch.

A profile says what the stages cost relative to one another; how fast the machine is just now is one number
beside it, the load factor: measured time over predicted time. So a plan that never ran can be predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from limner.engine.slo_plan import Limits, Plan

Stage = Literal["encode", "noise", "denoise", "decode", "other"]
STAGES: tuple[Stage, ...] = ("encode", "noise", "denoise", "decode", "other")
REFERENCE_PX = 320 * 176
LEAST_MS = 1e-6
"""A stage that takes no time at all keeps this: hours later it may take some."""
LEAST_SLACK = 1
"""A frame more than a chunk may always wait for the next chunk: jitter."""

GREED = 3
"""Where no plan fits: the power of what one takes of the others' time."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Milliseconds at load factor 1. Areas are shares of 320×176 pixels.

    The figures are those of `pocket` on two quiet CPU cores; only their ratios matter, and those between
    stages are learned (`learn`).
    """

    encode: float = 2.2
    """A video frame."""
    noise: float = 1.5
    """A latent frame."""
    forward: float = 20.0
    """A forward, however little is in it: weights to read, kernels to start."""
    latent: float = 9.0
    """A latent frame in a forward."""
    decode: float = 4.0
    """A video frame."""
    other: float = 0.5
    """A video frame, in and out of shared memory; at full size whatever the plan's."""
    overlaps: bool = False
    """While one chunk is denoised, others are encoded and decoded (`limner.engine.overlap`)."""
    abreast: int = 1
    """Chunks that are denoised at a time, 1 or more: ranks of a pipeline, all as busy as the others."""
    saved: float = 0.0
    """What each further stream in a forward was measured to save of a forward of its own; 0: not measured."""
    together: float = 1.0
    """Streams in a forward, in the mean: each pays its part of it. At least 1."""

    def stages_ms(self, plan: Plan) -> dict[Stage, float]:
        """Return what a chunk costs, stage by stage."""
        area = plan.size[0] * plan.size[1] / REFERENCE_PX
        forwards = 1 if plan.stream_batch else plan.steps
        alone = self.forward_ms(plan)
        # However many they are, together they take no less than one alone.
        saved = min(self.saved, alone) * (1 - 1 / self.together)
        return {
            "encode": self.encode * plan.frames * area,
            "noise": self.noise * plan.chunk_latents * area,
            "denoise": forwards * (alone - saved),
            "decode": self.decode * plan.frames * area,
            "other": self.other * plan.frames,
        }

    def forward_ms(self, plan: Plan) -> float:
        """Return what a forward costs that is not shared."""
        area = plan.size[0] * plan.size[1] / REFERENCE_PX
        rows = plan.steps if plan.stream_batch else 1
        return self.forward + self.latent * rows * plan.chunk_latents * area

    def chunk_ms(self, plan: Plan) -> float:
        """Return what a chunk costs in all."""
        return sum(self.stages_ms(plan).values())

    def begun_ms(self, chunk_ms: float) -> float:
        """Return how long a chunk may wait for a shared forward that began without it; `chunk_ms`: its own.

        Those in it are before ours once more in its own forward.
        """
        return self.together * chunk_ms if self.together > 1 else 0.0

    def busy_share(self, plan: Plan) -> float:
        """Return the part of a chunk's time after which the next can follow: that of the busier lane."""
        if not self.overlaps:
            return 1.0
        stages = self.stages_ms(plan)
        whole = sum(stages.values())
        return max(stages["denoise"] / self.abreast, whole - stages["denoise"]) / whole

    def learn(self, plan: Plan, measured_ms: Mapping[Stage, float], *, rate: float) -> Profile:
        """Move the ratios between stages towards what was measured; what `plan` costs in all stays.

        So the load factor keeps its meaning, and only the forecast for other plans gets better.
        """
        predicted = self.stages_ms(plan)
        load = sum(measured_ms.values()) / sum(predicted.values())
        if load <= 0:
            return self
        by = {
            stage: max(
                LEAST_MS / predicted[stage],
                1 + rate * (measured_ms.get(stage, 0.0) / (load * predicted[stage]) - 1),
            )
            for stage in STAGES
        }
        return replace(
            self,
            encode=self.encode * by["encode"],
            noise=self.noise * by["noise"],
            forward=self.forward * by["denoise"],
            latent=self.latent * by["denoise"],
            saved=self.saved * by["denoise"],
            decode=self.decode * by["decode"],
            other=self.other * by["other"],
        )


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the other streams leave of a device."""

    share: float = 1.0
    """Of the device's time, more than 0 and at most 1."""
    others_ms: float = 0.0
    """A chunk of each of the others may be painted before ours."""
    longest_ms: float = math.inf
    """No chunk of ours should hold the others up for longer."""


WHOLE_DEVICE = Room()


def use(plan: Plan, limits: Limits, chunk_ms: float, busy_share: float = 1.0) -> float:
    """Return the share of the device's time that a plan takes. Above 1 it cannot keep up."""
    return chunk_ms * busy_share / plan.span_ms(limits.fps)


def delay_ms(plan: Plan, limits: Limits, chunk_ms: float, room: Room = WHOLE_DEVICE) -> float:
    """Return how late a chunk's first frame is handed over, at the worst, when the plan keeps up."""
    gathered = (plan.frames - 1 + LEAST_SLACK) * frame_ms(plan, limits)
    lag = plan.lag_chunks * max(plan.span_ms(limits.fps), chunk_ms)
    return gathered + lag + chunk_ms + room.others_ms + behind_ms(plan, limits)


def behind_ms(plan: Plan, limits: Limits) -> float:
    """Return how much older the frames are that a chunk shows than those that it was made of."""
    return limits.frames_behind * frame_ms(plan, limits)


def slack(plan: Plan, limits: Limits, chunk_ms: float, room: Room = WHOLE_DEVICE) -> int:
    """Return how many frames beyond a chunk may wait before latest wins: two chunks, if limit and room allow.

    A hiccup then costs a little delay, soon made up for, and no frame.
    """
    spare_ms = limits.latency_ms - delay_ms(plan, limits, chunk_ms, room)
    in_time = int(spare_ms / frame_ms(plan, limits))
    return max(LEAST_SLACK, min(2 * plan.frames, limits.most_waiting - plan.frames, in_time))


def frame_ms(plan: Plan, limits: Limits) -> float:
    """Return the time from one frame that is painted to the next."""
    return 1000 * plan.frame_step / limits.fps


def pressure(
    plan: Plan, limits: Limits, chunk_ms: float, room: Room = WHOLE_DEVICE, busy_share: float = 1.0
) -> float:
    """Return how much of its limits a plan uses up: time, delay or patience, whichever is more.

    Above 1 it does not fit. Patience, ours: when the others' chunks begin just before ours is complete, no
    more frames come meanwhile than may wait; and theirs with us.
    """
    return max(
        _greed(plan, limits, chunk_ms, room, busy_share),
        delay_ms(plan, limits, chunk_ms, room) / limits.latency_ms,
        room.others_ms / _patience_ms(plan, limits, chunk_ms, room),
    )


def miss(
    plan: Plan, limits: Limits, chunk_ms: float, room: Room = WHOLE_DEVICE, busy_share: float = 1.0
) -> float:
    """Return how bad a plan is that does not fit, to find the least bad one; 1 or less: it is not.

    Too much delay makes every frame late, others that are in the way lose only what cannot wait. And whoever
    is late whatever it does must not take the time of those who need not be: greed weighs more, if there are
    any. Alone it is no worse than delay, or the delay would grow for the sake of frames.
    """
    weight = GREED if room.others_ms > 0 else 1
    lost_ms = max(0.0, room.others_ms - _patience_ms(plan, limits, chunk_ms, room))
    return max(
        _greed(plan, limits, chunk_ms, room, busy_share) ** weight,
        delay_ms(plan, limits, chunk_ms, room) / limits.latency_ms,
        1 + lost_ms / plan.span_ms(limits.fps),
    )


def _greed(plan: Plan, limits: Limits, chunk_ms: float, room: Room, busy_share: float) -> float:
    """Return what a plan takes of the device, against what it may, and how long it holds the others up."""
    return max(use(plan, limits, chunk_ms, busy_share) / room.share, chunk_ms / room.longest_ms)


def _patience_ms(plan: Plan, limits: Limits, chunk_ms: float, room: Room) -> float:
    """Return how long the others' chunks may take before frames are lost that wait for ours."""
    return (slack(plan, limits, chunk_ms, room) + 1) * frame_ms(plan, limits)


def fair_shares(demands: Sequence[float]) -> list[float]:
    """Return each stream's share of the device: all get what they ask for, or the same (max-min fairness).

    `demands`: the share of the device's time that each asks for. What is left over goes to all alike.
    """
    shares = [0.0] * len(demands)
    left, waiting = 1.0, sorted(range(len(demands)), key=lambda i: demands[i])
    while waiting:
        index = waiting[0]
        equal = left / len(waiting)
        if demands[index] >= equal:
            break
        shares[index] = demands[index]
        left -= demands[index]
        waiting.pop(0)
    if waiting:
        for index in waiting:
            shares[index] = left / len(waiting)
        return shares
    return [share + left / len(shares) for share in shares]
