"""Writes docs/hardware.md from the plan itself: `python -m limner.models.plan_doc > docs/hardware.md`."""

from __future__ import annotations

from collections.abc import Iterator

from limner.models.catalogue import load
from limner.models.paths import BUILT_IN
from limner.models.plan_bytes import GIB, MIB
from limner.models.plan_cards import Card
from limner.models.plan_choice import RESERVE_BYTES, MemoryPlan, choose
from limner.models.plan_model import ModelSizes, model_sizes

MODELS = ("wan-1.3b", "wan-14b")
TIERS_GIB = (8, 12, 16, 24, 32, 80)
TAKEN_GIB = (0, 2, 4)
"""By a game, say."""
DESKTOP_BYTES = 300 * MIB
"""What a desktop takes of a card before anything is started."""
CAPABILITY = (8, 9)
HEAD = f"""# Which GPU paints what

This page is made from the plan itself (`python -m limner.models.plan_doc > docs/hardware.md`); a test
holds it to that. Every figure of memory is *predicted*: exact for weights and caches, by count for what is
alive while the model works, and with named allowances for CUDA itself. `pocket` needs no GPU.

Limner looks at what is *free* on the card when the model is loaded, for a game may be running, leaves
{RESERVE_BYTES // MIB} MiB of it to OBS, and takes the best way to paint that fits. What is given up, in turn:

1. the text encoder's place: on the GPU for good; there only while it encodes a new prompt; in main memory
   (a new prompt then takes seconds to arrive, and the picture goes on meanwhile);
2. denoising steps beyond two;
3. one latent frame of the window: 5 with 2 sinks instead of 6 with 3;
4. the weights' type: 8 bits (fp8 from the RTX 40 and H100 on, int8 below) instead of 16;
5. the autoencoder: the small one (TAEHV) instead of Wan's;
6. the second step;
7. the window, down to 4 latent frames;
8. the size of the picture, down the model's list.

Each of them can be pinned, by options of `limner daemon` (see [cli.md](cli.md)), or for good in
`~/.config/limner/config.toml`:

```toml
[memory]
size = [640, 368]
steps = 2
window_frames = 5
weights = "fp8"                # or "bf16", "int8"
vae = "taehv"                  # or "wan"
text = "gpu while encoding"    # or "gpu", "cpu"
chunk = 1                      # latent frames of the longest chunk: more for `limner set --chunk 2`
streams = 1                    # sessions at a time
```

For LoRAs there is as much room as the largest file in their folder takes, of those for this model, or all
of one of your styles together, where that is more. Where some need more, and there is no more, the status
says so, and painting goes on without them.

What does not fit with them is refused, with the bytes. `limner doctor` shows the plan for the cards of this
machine, and the worker's log its bytes. `limner daemon --engine auto` chooses the model as well: the largest
of those on this machine that can be live on the card without giving up size, autoencoder or second step.

Should memory run out while live, the text encoder goes first, where it is on the GPU; then a stream gives up
long chunks, steps and size, one at a time, and says so; the picture goes on. Where a card has less than was
planned for, the model is loaded anew by the next smaller plan.

The tables: one session, a card with fp8 of which a desktop takes {DESKTOP_BYTES // MIB} MiB and a game
what the second column says. "Needs" is the peak.
"""


def render() -> str:
    """Return the page."""
    catalogue = load(BUILT_IN, BUILT_IN)
    sections = [_section(model_sizes(catalogue.find(name))) for name in MODELS]
    return "\n".join([HEAD, *sections])


def _section(model: ModelSizes) -> str:
    lines = [
        f"## `{model.name}`\n",
        "| card | taken by a game | size | steps | weights | autoencoder | window | text encoder | needs |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(model, tier, taken) for tier in TIERS_GIB for taken in TAKEN_GIB),
        "",
        *_bytes(model),
    ]
    return "\n".join(lines) + "\n"


def _row(model: ModelSizes, tier_gib: int, taken_gib: int) -> str:
    plan = choose(model, _card(tier_gib, taken_gib))
    where = f"| {tier_gib} GiB | {f'{taken_gib} GiB' if taken_gib else '–'} |"
    if not isinstance(plan, MemoryPlan):
        needed = plan.needed_bytes / GIB
        return f"{where} does not fit: it needs {needed:.1f} GiB free | | | | | | |"
    choice = plan.choice
    cells = (
        f"{choice.size[0]}×{choice.size[1]}",
        f"up to {choice.steps}" if choice.steps > 1 else "1",
        choice.weights,
        {"wan": "Wan's", "taehv": "TAEHV", "pocket": "its own"}[choice.vae],
        f"{choice.window_frames} / {choice.sink_frames}",
        {"gpu": "GPU", "gpu while encoding": "GPU while encoding", "cpu": "main memory"}[choice.text],
        f"{plan.needed_bytes / GIB:.1f} GiB",
    )
    return f"{where} {' | '.join(cells)} |"


def _bytes(model: ModelSizes) -> Iterator[str]:
    plans = [choose(model, _card(tier, 0)) for tier in TIERS_GIB]
    shown = [
        (tier, plan) for tier, plan in zip(TIERS_GIB, plans, strict=True) if isinstance(plan, MemoryPlan)
    ]
    yield "Its bytes, in GiB, on a card with no game:\n"
    yield f"| part | {' | '.join(f'{tier} GiB' for tier, _ in shown)} |"
    yield f"|---|{'---|' * len(shown)}"
    tables = [{part.name: part.size_bytes for part in plan.parts} for _, plan in shown]
    for name in dict.fromkeys(name for table in tables for name in table):
        cells = [f"{table[name] / GIB:.2f}" if name in table else "–" for table in tables]
        yield f"| {name} | {' | '.join(cells)} |"


def _card(tier_gib: int, taken_gib: int) -> Card:
    return Card(
        index=0,
        name=f"a card of {tier_gib} GiB",
        total_bytes=tier_gib * GIB,
        free_bytes=(tier_gib - taken_gib) * GIB - DESKTOP_BYTES,
        capability=CAPABILITY,
    )


if __name__ == "__main__":
    print(render(), end="")
