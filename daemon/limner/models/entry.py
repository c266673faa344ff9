"""One model of the catalogue: what its TOML file says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from limner.models.errors import CatalogueError

PartName = Literal["weights", "dit", "vae", "taehv", "text_encoder", "tokenizer"]
Count = Annotated[int, Meta(ge=1)]
_Side = Annotated[int, Meta(ge=96, le=4096, multiple_of=16)]
Size = tuple[_Side, _Side]
"""(width, height) in pixels; smaller ones the daemon never asks for."""
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
# The file of the autoencoder, by `engine.vae.kind`; of the text encoder, by `engine.text.kind`.
_PARTS_OF_VAE: dict[str, PartName] = {"wan": "vae", "taehv": "taehv"}
_PARTS_OF_TEXT: dict[str, tuple[PartName, ...]] = {"umt5": ("text_encoder", "tokenizer")}


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files of one part of a model: from a repository of the hub, or a path on this machine."""

    repository: Annotated[str, Meta(pattern=r"^\w[\w.-]*/\w[\w.-]*$")] = ""
    """Where the files are published, "owner/name" on the hub."""
    revision: str = "main"
    """Branch, tag or commit of the repository."""
    folder: str = ""
    """The part is this folder of the repository, and `files` are counted from it. Empty: the part is one
    file, or the whole repository when `files` are several."""
    files: list[str] = []
    """Which files: paths in the repository (in `folder`), with * and ? as in a shell; each must match one."""
    key: str = ""
    """Under which key of a `.pt` the weights are, such as "generator_ema". Empty: the usual ones."""
    path: str = ""
    """Instead of a repository: a file or folder of this machine, used in place; relative to the TOML file."""
    about_bytes: Annotated[int, Meta(ge=0)] = 0
    """Approximate size, to be told before a download. 0: not known."""
    licence: str = ""
    """Of this part, where it is another than the model's."""
    optional: bool = False
    """The model works without it: a pull says that it could not be had, and goes on."""
    sha256: dict[str, Sha256] = {}
    """Checksums by path in the repository, where they are known; the hub's own are checked always."""

    @property
    def is_single_file(self) -> bool:
        """The part is one file and not a folder."""
        return not self.folder and len(self.files) == 1 and not set(self.files[0]) & set("*?[")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A model, checked as far as that goes without the engine (which checks its own tables when it loads)."""

    name: str
    source: Path
    """The TOML file."""
    title: str
    about: str
    licence: str
    parts: dict[PartName, Part]
    engine: dict[str, Any]
    """Tables of the engine's ModelConfig, with the name."""
    sizes: tuple[Size, ...]
    default_size: Size
    latent_frames_per_chunk: int
    is_own: bool
    """From the user's folder, not built in."""

    @property
    def about_bytes(self) -> int:
        """Approximate size of all files."""
        return sum(part.about_bytes for part in self.parts.values())

    @property
    def vae_part(self) -> PartName:
        """Which part holds the autoencoder's weights."""
        return _PARTS_OF_VAE.get(self.engine.get("vae", {}).get("kind", ""), "weights")

    @property
    def is_pulled(self) -> bool:
        """Some of its files are published somewhere."""
        return any(part.repository for part in self.parts.values())

    def needs(self, part: PartName) -> bool:
        """Return whether the model cannot be loaded without a part; its autoencoder it always needs."""
        return not self.parts[part].optional or part == self.vae_part

    def local_path(self, part: PartName) -> Path | None:
        """Return where a part lies that has a path of its own, else None."""
        chosen = self.parts[part].path
        return self.source.parent / Path(chosen).expanduser() if chosen else None


class _Engine(msgspec.Struct, frozen=True):
    """What the daemon must know of the engine's config; the engine checks all of it."""

    vae: dict[str, Any]
    text: dict[str, Any]
    dit: dict[str, Any]
    sizes: Annotated[list[Size], Meta(min_length=1)]
    default_size: Size
    latent_frames_per_chunk: Count = 1


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: Annotated[str, Meta(min_length=1)]
    licence: Annotated[str, Meta(min_length=1)]
    parts: Annotated[dict[PartName, Part], Meta(min_length=1)]
    engine: _Engine
    about: str = ""


def entry_from(table: Mapping[str, Any], name: str, source: Path, *, is_own: bool) -> Entry:
    """Check the table of a TOML file (its base already merged in); CatalogueError names file and key."""
    try:
        file = _file_from(table)
        for part_name, part in file.parts.items():
            _check_part(part_name, part)
        _check_complete(file)
    except (msgspec.ValidationError, ValueError) as error:
        raise CatalogueError(f"{source}: {str(error).replace('`$.', '`')}") from error
    return Entry(
        name=name,
        source=source,
        title=file.title,
        about=file.about,
        licence=file.licence,
        parts=file.parts,
        engine={"name": name, **table["engine"]},
        sizes=tuple(file.engine.sizes),
        default_size=file.engine.default_size,
        latent_frames_per_chunk=file.engine.latent_frames_per_chunk,
        is_own=is_own,
    )


def _file_from(table: Mapping[str, Any]) -> _File:
    try:
        return msgspec.convert(table, _File)
    except msgspec.ValidationError:
        # Of a part it does not say which.
        parts = table.get("parts")
        for name, part in parts.items() if isinstance(parts, Mapping) else ():
            _explain_part(name, part)
        raise


def _explain_part(name: str, part: object) -> None:
    if name not in get_args(PartName):
        raise ValueError(f"there is no part {name!r}; parts are {', '.join(get_args(PartName))}")
    unknown = set(part) - set(Part.__struct_fields__) if isinstance(part, Mapping) else set()
    if unknown:
        known = ", ".join(Part.__struct_fields__)
        raise ValueError(f"parts.{name} has an unknown key {min(unknown)!r}; there are: {known}")
    try:
        msgspec.convert(part, Part)
    except msgspec.ValidationError as error:
        raise ValueError(f"parts.{name}: {error}") from error


def _check_part(name: str, part: Part) -> None:
    if bool(part.repository) == bool(part.path):
        raise ValueError(f"parts.{name} needs either `repository` with `files`, or `path`")
    if part.repository and not part.files:
        raise ValueError(f"parts.{name}.files is empty; name the files of {part.repository}")
    for text in (part.folder, *part.files):
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"parts.{name} names {text!r}; it must stay inside the repository")


def _check_complete(file: _File) -> None:
    vae, text = file.engine.vae.get("kind", "pocket"), file.engine.text.get("kind", "words")
    needed: list[PartName] = ["weights"] if (vae, text) == ("pocket", "words") else ["dit"]
    if vae in _PARTS_OF_VAE:
        needed.append(_PARTS_OF_VAE[vae])
    needed += _PARTS_OF_TEXT.get(text, ())
    for name in needed:
        if name not in file.parts:
            raise ValueError(
                f"[parts.{name}] is missing; a model with vae {vae!r} and text {text!r} needs it"
            )
