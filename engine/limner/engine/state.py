"""What a stream remembers, as one object that can be kept, sent elsewhere and restored bit by bit.

Every stage gives its part with `state()` and takes it back with `restore(state)`: tensors by name, and plain
facts (what JSON can hold). Parts nest: "denoise/cache/keys" is the tensor `keys` of the part `cache` of the
part `denoise`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from limner.engine.errors import StateError

FORMAT = 2
"""Of what `Stream.state` gives; a stream refuses any other."""

_FACTS = "limner_stream_state"
Fact = TypeVar("Fact")


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """What a stream, or a stage of it, remembers. A copy: the stream going on does not change it."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    """By name."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """By name; whatever JSON can hold."""

    @classmethod
    def joined(cls, parts: Mapping[str, StreamState], facts: Mapping[str, Any] | None = None) -> StreamState:
        """One state of several parts by name, and facts of its own."""
        return cls(
            tensors={f"{name}/{key}": t for name, part in parts.items() for key, t in part.tensors.items()},
            facts={**{name: dict(part.facts) for name, part in parts.items()}, **(facts or {})},
        )

    def part(self, name: str) -> StreamState:
        """One of the parts that it was joined of."""
        prefix = f"{name}/"
        return StreamState(
            tensors={
                key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)
            },
            facts=self.fact(name, dict),
        )

    def fact(self, name: str, kind: type[Fact]) -> Fact:
        """A fact of this type; StateError when there is none."""
        value = self.facts.get(name)
        if not isinstance(value, kind):
            raise StateError(f"the state's {name} is {value!r}; it must be a {kind.__name__}")
        return value

    def tensor(self, name: str) -> Tensor:
        """A tensor; StateError when there is none."""
        if name not in self.tensors:
            raise StateError(f"the state lacks the tensor {name}")
        return self.tensors[name]

    def checked(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """A tensor; StateError unless it has this shape and type."""
        tensor = self.tensor(name)
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            raise StateError(
                f"the state's {name} is {list(tensor.shape)} {tensor.dtype}, this stream's"
                f" {list(shape)} {dtype}; it comes from another model, size or type"
            )
        return tensor

    def fill(self, name: str, buffer: Tensor) -> None:
        """Copy a tensor into a buffer; StateError unless shape and type are the buffer's."""
        buffer.copy_(self.checked(name, buffer.shape, buffer.dtype))

    def to(self, device: torch.device | str) -> StreamState:
        """The same with all tensors on a device."""
        return StreamState(
            tensors={name: tensor.to(device) for name, tensor in self.tensors.items()}, facts=self.facts
        )

    def save(self, path: Path) -> None:
        """Write it as a safetensors file; never leaves half a file behind."""
        # Clones, since safetensors takes no two tensors of one memory.
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in self.tensors.items()}
        partial = path.with_name(path.name + ".partial")
        save_file(tensors, partial, metadata={_FACTS: json.dumps(dict(self.facts))})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> StreamState:
        """Read what `save` wrote; StateError, which names the file, when that is not what it is."""
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})[_FACTS])
                return cls(tensors={name: file.get_tensor(name) for name in file.keys()}, facts=facts)  # noqa: SIM118  # no dict
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise StateError(f"{path}: not the state of a stream ({error})") from error
