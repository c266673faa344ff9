"""The hub itself, through huggingface_hub: its login, mirrors and proxies are the user's own settings there.

Files are fetched by ourselves with the library's own request (`http_get`), because `hf_hub_download` begins a
large file anew when the process before it was stopped (since 1.x it keeps no partial file).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from limner.models.entry import Part, PartName
from limner.models.errors import HubError
from limner.models.hub import Advance, Listing, RemoteFile

TIMEOUT_S = 15.0
# The hub hands out larger files by its own protocol only, which the library speaks.
MOST_HTTP_BYTES = 50_000_000_000


class HuggingFaceHub:
    """Lists and fetches. The library is imported at the first use: it takes a second."""

    def __init__(self, endpoint: str | None = None, most_http_bytes: int = MOST_HTTP_BYTES) -> None:
        """`endpoint`: another address of the hub; None: the library's own (HF_ENDPOINT)."""
        self._endpoint, self._most_http_bytes = endpoint, most_http_bytes
        self._listings: dict[tuple[str, str], Listing] = {}

    def listing(self, name: PartName, part: Part) -> Listing:
        """Return the files of the part's repository; HubError when it cannot be had."""
        key = (part.repository, part.revision)
        if key not in self._listings:
            with _faults_in_words(part.repository):
                self._listings[key] = self._ask(part)
        return self._listings[key]

    def _ask(self, part: Part) -> Listing:
        from huggingface_hub import HfApi  # noqa: PLC0415  (slow)

        info = HfApi(endpoint=self._endpoint).model_info(
            part.repository, revision=part.revision, files_metadata=True, timeout=TIMEOUT_S
        )
        files = []
        for one in info.siblings or []:
            lfs = one.lfs
            files.append(
                RemoteFile(
                    path=one.rfilename,
                    size_bytes=(lfs.size if lfs else one.size) or 0,
                    sha256=lfs.sha256 if lfs else "",
                    git_id="" if lfs else one.blob_id or "",
                )
            )
        card = info.card_data
        licence = str(getattr(card, "license_name", None) or getattr(card, "license", None) or "")
        return Listing(commit=info.sha or part.revision, files=tuple(files), licence=licence)

    def takes_room(self, root: Path) -> bool:
        """It does."""
        return True

    def fetch(self, part: Part, commit: str, file: RemoteFile, target: Path, advance: Advance) -> None:
        """Append to `target` what it lacks; HubError when the hub or the network fails."""
        with _faults_in_words(part.repository):
            if file.size_bytes > self._most_http_bytes:
                self._fetch_by_library(part, commit, file, target, advance)
            else:
                self._fetch_by_http(part, commit, file, target, advance)

    def _fetch_by_http(
        self, part: Part, commit: str, file: RemoteFile, target: Path, advance: Advance
    ) -> None:
        from huggingface_hub import hf_hub_url  # noqa: PLC0415  (slow)
        from huggingface_hub.file_download import http_get  # noqa: PLC0415
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415

        url = hf_hub_url(part.repository, file.path, revision=commit, endpoint=self._endpoint)
        with target.open("ab") as opened:
            if opened.tell() > file.size_bytes:
                # Not this file's: nothing could be gone on from.
                opened.truncate(0)
                opened.seek(0)
            begun_bytes = opened.tell()
            advance(begun_bytes)
            http_get(
                url,
                opened,
                resume_size=begun_bytes,
                expected_size=file.size_bytes,
                # As it is: what is compressed on the way could not be gone on from.
                headers=build_hf_headers(library_name="limner") | {"Accept-Encoding": "identity"},
                tqdm_class=_reporting(advance),
            )

    def _fetch_by_library(
        self, part: Part, commit: str, file: RemoteFile, target: Path, advance: Advance
    ) -> None:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  (slow)

        folder = target.with_name(target.name + ".d")
        fetched = hf_hub_download(
            part.repository,
            file.path,
            revision=commit,
            local_dir=folder,
            endpoint=self._endpoint,
            tqdm_class=_reporting(advance),
        )
        Path(fetched).replace(target)
        shutil.rmtree(folder)


def _reporting(advance: Callable[[int], None]) -> Any:
    """Return what the library takes for a class of progress bars."""

    class Bar:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def update(self, size_bytes: float | None = 1) -> None:
            advance(int(size_bytes or 0))

        def close(self) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            pass

    return Bar


@contextmanager
def _faults_in_words(repository: str) -> Iterator[None]:
    """Say what the library's errors mean for who wants a model."""
    try:
        import huggingface_hub.errors as faults  # noqa: PLC0415  (slow)
    except ImportError as error:
        raise HubError(
            f"huggingface_hub is not installed properly ({error}); run installer/run.sh again"
        ) from error
    # httpx's: what the library's own derive from.
    http_error = cast(type[Exception], faults.HfHubHTTPError.__bases__[0])
    try:
        yield
    except faults.GatedRepoError as error:
        raise HubError(
            f"{repository} is gated: accept its terms on its page at the hub, log in with `hf auth login`,"
            " and pull again"
        ) from error
    except faults.RepositoryNotFoundError as error:
        raise HubError(
            f"the hub has no repository {repository}, or it is private: check the name in the model's file,"
            " or log in with `hf auth login`"
        ) from error
    except faults.RevisionNotFoundError as error:
        raise HubError(f"{repository} has no such revision; check `revision` in the model's file") from error
    except faults.OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set: unset it, or pull --from a folder with the files") from error
    except faults.HfHubHTTPError as error:
        status = error.response.status_code
        raise HubError(f"the hub answers {status} for {repository}; try again in a while") from error
    except (http_error, ConnectionError, TimeoutError) as error:
        raise HubError(
            f"the hub cannot be reached ({_first_line(error)}): check the network and pull again (what was"
            " fetched is kept), or pull --from a folder with the files"
        ) from error
    except OSError as error:
        # The library's own; those of the disk have a number.
        if error.errno is not None:
            raise
        raise HubError(
            f"the files of {repository} did not come whole ({_first_line(error)}); pull again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
