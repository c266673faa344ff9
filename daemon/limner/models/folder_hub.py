"""A folder in place of the hub: files that somebody has already, wherever they got them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from limner.models.entry import Part, PartName
from limner.models.errors import HubError
from limner.models.hub import Advance, Listing, RemoteFile, wanted_files
from limner.models.linking import link_or_copy


class FolderHub:
    """Finds each part below one folder.

    A repository's files may lie in OWNER/NAME, NAME, models--OWNER--NAME (the hub's own cache), the part's
    name, or the folder itself, each with the repository's own sub-folders; or single files flat in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[tuple[str, str], Path] = {}
        if not folder.is_dir():
            raise HubError(f"{folder} is no folder; name the one that holds the model's files")

    def listing(self, name: PartName, part: Part) -> Listing:
        """Return the files of the part, which must all be there; HubError names what is not."""
        bases = self._bases(name, part)
        for base in bases:
            listing = Listing(commit="", files=self._files(part, base))
            if all(_is_matched(pattern, name, part, listing) for pattern in part.files):
                return listing
        flat = self._flat(part)
        if flat is not None:
            return flat
        wanted = ", ".join(str(PurePosixPath(part.folder) / one) for one in part.files)
        raise HubError(
            f"{self._folder} lacks {wanted} of {part.repository} (the part {name}); put it there, or in"
            f" a sub-folder {part.repository.split('/')[1]}"
        )

    def takes_room(self, root: Path) -> bool:
        """It does not where the folder is on the same disk."""
        there = next(path for path in (root, *root.absolute().parents) if path.exists())
        return there.stat().st_dev != self._folder.stat().st_dev

    def fetch(self, part: Part, commit: str, file: RemoteFile, target: Path, advance: Advance) -> None:
        """Link the file, or copy it where the disk is another."""
        target.unlink(missing_ok=True)
        link_or_copy(self._found[part.repository, file.path], target, advance)

    def _bases(self, name: PartName, part: Part) -> list[Path]:
        owner, repository = part.repository.split("/")
        snapshots = sorted((self._folder / f"models--{owner}--{repository}" / "snapshots").glob("*/"))
        named = [
            self._folder / owner / repository,
            self._folder / repository,
            *snapshots,
            self._folder / name,
        ]
        return [base for base in (*named, self._folder) if base.is_dir()]

    def _files(self, part: Part, base: Path) -> tuple[RemoteFile, ...]:
        inside = base / part.folder
        found = []
        for pattern in part.files:
            for path in sorted(inside.glob(pattern)):
                if path.is_file():
                    found.append(self._file(part, path.relative_to(base).as_posix(), path))
        return tuple(dict.fromkeys(found))

    def _flat(self, part: Part) -> Listing | None:
        """Find single files by their last name, right in the folder."""
        found = []
        for pattern in part.files:
            path = self._folder / PurePosixPath(pattern).name
            if set(pattern) & set("*?[") or not path.is_file():
                return None
            found.append(self._file(part, str(PurePosixPath(part.folder) / pattern), path))
        return Listing(commit="", files=tuple(found))

    def _file(self, part: Part, path: str, source: Path) -> RemoteFile:
        self._found[part.repository, path] = source
        return RemoteFile(path=path, size_bytes=source.stat().st_size)


def _is_matched(pattern: str, name: PartName, part: Part, listing: Listing) -> bool:
    one = Part(repository=part.repository, folder=part.folder, files=[pattern])
    try:
        return bool(wanted_files(name, one, listing))
    except HubError:
        return False
