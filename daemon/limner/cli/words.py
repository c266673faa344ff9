"""Settings and what is in force, as people say them."""

from __future__ import annotations

from limner.daemon.protocol import Plan, PromptShare, RankInfo, Settings

# How each setting is said that is not as it was from the start. What is missing here is always said.
_SAID_WHEN_CHANGED = {
    "least_steps": "at least {} of them",
    "transition_ms": "changes of words take {} ms",
    "recache": "a change of words leaves the context",
    "latency_ms": "delay within {} ms",
    "mode": "mode {}",
    "chunk": "{} latent frames at a time",
    "adapt": "quality never gives way",
    "motion_aware": "not aware of motion",
    "motion_window": "motion window {} frames",
    "motion_smoothing": "motion smoothing {}",
    "motion_low": "motion low {}",
    "motion_high": "motion high {}",
    "motion_hysteresis": "motion hysteresis {}",
    "steadiness": "steadiness {}",
    "cuts": "cuts go unnoticed",
    "lora": "LoRA {}",
    "on_air": "off air: others come first",
    "bypass": "bypassed: the source is shown",
}
_AT_FIRST = Settings()


def look(settings: Settings) -> str:
    """Return style and words."""
    if settings.mix:
        return f"mix of {mix(settings.mix)}" if settings.style in ("", "custom") else settings.style
    name = settings.style or "custom"
    return name + (f" ({settings.prompt!r})" if settings.prompt and settings.prompt != name else "")


def mix(shares: list[PromptShare]) -> str:
    """Return prompts with their part of the whole: "'oil' 67 %, 'neon' 33 %"."""
    total = sum(share.weight for share in shares)
    return ", ".join(f"{share.prompt!r} {share.weight / total:.0%}".replace("%", " %") for share in shares)


def steps(count: int) -> str:
    """Return "1 step", "2 steps"."""
    return f"{count} step{'s' if count > 1 else ''}"


def changed(settings: Settings) -> list[str]:
    """Return what is not as it was from the start, one by one."""
    values = {name: getattr(settings, name) for name in _SAID_WHEN_CHANGED}
    if settings.lora:
        values["lora"] = ", ".join(f"{lora.name} ({lora.weight:g})" for lora in settings.lora)
    return [
        _SAID_WHEN_CHANGED[name].format(value)
        for name, value in values.items()
        if value != getattr(_AT_FIRST, name)
    ]


def describe(settings: Settings) -> str:
    """Return all settings in a line."""
    first = f"{look(settings)}, strength {settings.strength:g}, {steps(settings.steps)}, seed {settings.seed}"
    return ", ".join([first, *changed(settings)])


def in_force(plan: Plan) -> str:
    """Return how a session is painted now: "2 steps, 256×144, mode latency"."""
    parts = [steps(plan.steps), f"{plan.width}×{plan.height}"]
    if plan.steps > 1:
        # One step is the same in both.
        parts.append(f"mode {plan.mode}")
    if plan.chunk > 1:
        parts.append(f"{plan.chunk} latent frames at a time")
    if plan.frame_step > 1:
        parts.append(f"one frame of {plan.frame_step}")
    if plan.together > 1:
        parts.append(f"{plan.together} streams in a forward")
    return ", ".join(parts)


def rank_line(rank: RankInfo) -> str:
    """One of the processes over which a model is spread, in a line."""
    where = f"{rank.device} on {rank.machine}" if rank.machine else rank.device
    blocks = f"blocks {rank.first} to {rank.first + rank.blocks - 1}" if rank.blocks else "no blocks"
    shares = f"busy {rank.busy:.0%}, bubble {rank.bubble:.0%}, transfer {rank.transfer:.0%}"
    codes = "".join(
        f", {what} in {ms:.0f} ms" if ms else f", {what}"
        for what, does, ms in (
            ("encodes", rank.encodes, rank.encode_ms),
            ("decodes", rank.decodes, rank.decode_ms),
        )
        if does
    )
    return f"Rank {rank.rank}: {where}, {blocks}{codes}, {shares}, {rank.memory_bytes / 2**20:.0f} MiB"
