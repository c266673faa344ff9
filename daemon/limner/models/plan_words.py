"""A memory plan in words: in the doctor, in the daemon's log, while the worker loads."""

from __future__ import annotations

from limner.models.plan_bytes import GIB, Choice
from limner.models.plan_choice import MemoryPlan, Refusal

VAES = {"wan": "Wan's autoencoder", "taehv": "the small autoencoder (TAEHV)", "pocket": "its autoencoder"}
TEXTS = {
    "gpu": "text encoder on the GPU",
    "gpu while encoding": "text encoder on the GPU while it encodes",
    "cpu": "text encoder in main memory",
}


def sentence(plan: MemoryPlan) -> str:
    """Return the plan in one line: what is painted how, and the bytes."""
    return f"{way(plan.choice, has_umt5=plan.model.has_umt5)}: {need(plan)}"


def way(choice: Choice, *, has_umt5: bool = True) -> str:
    """Return a way to paint in words."""
    parts = [_size(choice), _steps(choice), _weights(choice), VAES[choice.vae], _window(choice)]
    if has_umt5:
        parts.append(TEXTS[choice.text])
    if choice.chunk_latents > 1:
        parts.append(f"chunks of up to {choice.chunk_latents} latent frames")
    if choice.streams > 1:
        parts.append(f"{choice.streams} sessions")
    return ", ".join(parts)


def need(plan: MemoryPlan) -> str:
    """Return its bytes against what is free."""
    return f"{plan.needed_bytes / GIB:.1f} of {plan.card.free_bytes / GIB:.1f} GiB free"


def breakdown(plan: MemoryPlan) -> list[str]:
    """Return a line a part, the largest first."""
    parts = sorted(plan.parts, key=lambda part: -part.size_bytes)
    return [f"{part.size_bytes / GIB:6.2f} GiB  {part.name}" for part in parts]


def changes(old: Choice, new: Choice) -> str:
    """Return what a lower plan gives up: "2 steps instead of 4, text encoder in main memory"."""
    pairs = (
        (_size(old), _size(new)),
        (_steps(old), _steps(new)),
        (_weights(old), _weights(new)),
        (VAES[old.vae], VAES[new.vae]),
        (_window(old), _window(new)),
    )
    parts = [f"{after} instead of {before}" for before, after in pairs if before != after]
    return ", ".join([*parts, *([TEXTS[new.text]] if new.text != old.text else [])])


def refusal(no: Refusal) -> str:
    """Return a refusal as one sentence."""
    return f"{no.text}; {no.advice}"


def _size(choice: Choice) -> str:
    return f"{choice.size[0]}×{choice.size[1]}"


def _steps(choice: Choice) -> str:
    return "1 step" if choice.steps == 1 else f"up to {choice.steps} steps"


def _weights(choice: Choice) -> str:
    return f"{choice.weights} weights"


def _window(choice: Choice) -> str:
    return f"a window of {choice.window_frames} latent frames ({choice.sink_frames} of them sinks)"
