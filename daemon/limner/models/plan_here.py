"""A model as it lies on this machine, for the plan: what was not fetched cannot be painted with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from limner.models.entry import Entry
from limner.models.errors import ModelsError
from limner.models.paths import loras_dir
from limner.models.plan_lora import lora_room_bytes
from limner.models.plan_model import ModelSizes, model_sizes
from limner.models.store import Store


def sizes_here(entry: Entry, store: Store, loras_together: Iterable[Sequence[str]] = ()) -> ModelSizes:
    """Return the model's sizes; of one that is here, without the small autoencoder when that is not.

    Of one that is not here yet all is told: a pull fetches all. With room for the user's LoRAs,
    those of each style together.
    """
    sizes = model_sizes(entry)
    sizes = replace(sizes, lora_bytes=lora_room_bytes(loras_dir(), sizes.dit, loras_together))
    if sizes.has_taehv and store.state(entry).presence == "here" and not _has_taehv(entry, store):
        return replace(sizes, has_taehv=False)
    return sizes


def _has_taehv(entry: Entry, store: Store) -> bool:
    try:
        return store.has(entry, "taehv")
    except ModelsError:
        return False
