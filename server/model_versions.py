"""Brings versions to a running worker: fetch, check, load, try out, go live."""

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from ..model.checkpoint import Checkpoint
from ..model.errors import CheckpointError, ModelError
from ..model.manifest import TensorEntry, manifest_name, named_tensors, tensor_bytes
from ..model.version_parts import (
    Blob,
    VersionFiles,
    VersionParts,
    load_version,
    settings_files,
    to_tensor,
)
from .blob_receiver import Fetch, receive
from .engines.engine import EngineError
from .errors import (
    BlobDamagedError,
    InvalidRequestError,
    OtherVersionLiveError,
    PushAbortedError,
    PushRefusedError,
    StoreFullError,
    UnknownVersionError,
)
from .free_memory import return_memory
from .live_model import LiveModel, Serving
from .semantic_gate import DriftLimits, GateReport, SemanticGate
from .version_store import Pointers, Staging, VersionStore, free_bytes, is_full, read_blob
from .weight_checks import check_finite, check_fit, check_new_architecture, fits

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Without a state folder: where blobs are until they are loaded. The number of the process follows,
# so that what a killed worker leaves is found by the next.
_TEMPORARY = "twinhead-push-"


@dataclass(frozen=True)
class Offer:
    """A version that somebody wants to bring, and on what conditions."""

    files: VersionFiles
    expected_live_version: str = ""
    """The version that must be live; empty for any."""
    allow_new_tasks: bool = False
    """Whether it may have another architecture, other tasks, labels or tokenizer."""
    drift_limits: DriftLimits = field(default_factory=DriftLimits)


@dataclass(frozen=True)
class StagedVersion:
    """A version that is loaded, tried and ready to go live."""

    model: LiveModel
    report: GateReport
    live: LiveModel
    """What it was compared with, and takes the place of."""
    parts: VersionParts
    folder: Staging


@dataclass(frozen=True)
class KnownVersion:
    """A version that a worker keeps."""

    version: str
    state: Literal["live", "previous", "kept"]
    received: float
    """When the worker first had it, seconds since the epoch."""
    tasks: Sequence[str]
    bytes: int
    """Of its blobs."""
    provenance: Mapping[str, Any]


class ModelVersions:
    """The versions of a worker, in memory and on disk."""

    def __init__(
        self, serving: Serving, gate: SemanticGate, store: VersionStore | None, max_bytes: int
    ) -> None:
        """Manage versions.

        Args:
            serving: what is live.
            gate: tries versions out.
            store: where versions are kept; None keeps the live and the previous one, in memory.
            max_bytes: what the weights of a version may take that does not have the live
                version's architecture.
        """
        self._serving = serving
        self._gate = gate
        self.store = store
        self._max_bytes = max_bytes
        # Set while no version is on its way in.
        self._free = asyncio.Event()
        self._free.set()
        # Held from the moment that it is known what is live until something else is.
        self._switching = asyncio.Lock()
        # All work on weights and files: one thing at a time, and off the event loop.
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="versions")
        # Noting which version is live does not wait for that: a rollback is not to queue behind a
        # push that takes long to build.
        self._notes = ThreadPoolExecutor(max_workers=1, thread_name_prefix="version-notes")

    async def close(self, seconds: float) -> None:
        """Release the thread, after at most so many seconds for what is on its way in to tidy up.

        Whatever is left behind is wiped at the next start.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._free.wait(), seconds)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._notes.shutdown(wait=False, cancel_futures=True)

    async def read_files(self, files: Mapping[str, bytes]) -> VersionFiles:
        """Read the small files of an offer.

        Raises:
            InvalidRequestError: naming the file and what is wrong with it.
        """
        try:
            return await self._run(VersionFiles.parse, files)
        except CheckpointError as error:
            raise InvalidRequestError([("offer.files", str(error)[:1000])]) from error

    async def keep(self, model: LiveModel) -> None:
        """Put the model that the worker has started with into the store."""
        if self.store is None:
            return
        try:
            await self._run(self._add_and_prune, self.store, model)
        except (OSError, ModelError) as error:
            logger.error("version %s cannot be kept: %s", model.version, error)

    @property
    def lasting(self) -> bool:
        """Whether versions outlive the worker."""
        return self.store is not None

    async def list(self) -> "list[KnownVersion]":
        """The versions that are kept: live, previous, then the others, the latest first.

        Raises:
            NotServingError: starting or draining.
        """
        live, previous = self._serving.model(), self._serving.previous
        stored = await self._run(self._stored)
        first = {model.version: model for model in (live, previous) if model is not None}
        known = [self._describe(model, stored.pop(model.version, None)) for model in first.values()]
        return [*known, *stored.values()]

    @asynccontextmanager
    async def staging(
        self, offer: Offer, fetch: Fetch, received: Callable[[int], Awaitable[None]]
    ) -> AsyncGenerator[StagedVersion]:
        """Bring a version to where one assignment makes it live; see `go_live`.

        Args:
            offer: the version. What is not live when the context ends is forgotten.
            fetch: gives the blobs that are lacking; is called when the offer is in order.
            received: awaited when they have come, with how many bytes they were.

        Raises:
            ServiceError: the version is refused; the text says by which check.
        """
        with self._alone():
            live = self._serving.model()
            _check_expected(offer.expected_live_version, live)
            files = offer.files
            if not offer.allow_new_tasks:
                check_fit(files, live.checkpoint)
            anew = offer.allow_new_tasks and not fits(files, live.checkpoint)
            if anew:
                await self._run(check_new_architecture, files, self._max_bytes)
            else:  # nothing has read the offered settings, and a restart would
                settings = settings_files(live.checkpoint)
                files = replace(files, files={**files.files, **settings})
            wanted = self._missing(files)
            folder = await self._run(self._make_room, wanted, files if anew else None)
            try:
                with _full_disk(wanted):
                    await received(await receive(fetch, wanted, folder, self._threads))
                    blobs = _Blobs(folder, self.store, self._in_memory())
                    parts = VersionParts(files, blobs.read)
                    model = await self._run(_build, parts, live, None if anew else blobs, folder)
                    report = await self._gate.check(model, files.probes, live, offer.drift_limits)
                    yield StagedVersion(model, report, live, parts, folder)
            finally:
                await asyncio.shield(self._run(self._tidy, folder))

    async def go_live(self, staged: StagedVersion) -> None:
        """Make a staged version the live one.

        Raises:
            OtherVersionLiveError: another version went live since it was staged.
            StoreFullError: the disk is full; what was live still is.
        """
        await self._switch(staged.model, staged.live.version, staged.parts, staged.folder)

    async def activate(self, version: str, expected_live_version: str = "") -> tuple[str, str]:
        """Make a kept version the live one.

        Args:
            version: its id; empty for the one that was live before.
            expected_live_version: the version that must be live; empty for any.

        Returns:
            The ids of the version that is live now and of the one that was before.

        Raises:
            ServiceError: there is no such version, or it is refused.
        """
        live, previous = self._serving.model(), self._serving.previous
        if not version:
            if previous is not None:
                version = previous.version
            elif self.store is not None and (noted := await self._run(self.store.pointers)):
                version = noted.previous
        for model in (live, previous):
            if model is not None and model.version == version:
                was = await self._switch(model, expected_live_version)
                return version, was.version
        with self._alone():
            _check_expected(expected_live_version, live)
            with _full_disk({}):
                model = await self._run(self._load_kept, version, live)
            await self._gate.check(model, model.checkpoint.probes, live, DriftLimits())
            was = await self._switch(model, live.version)
        return version, was.version

    async def _switch(
        self,
        model: LiveModel,
        expected: str,
        parts: VersionParts | None = None,
        folder: Staging | None = None,
    ) -> LiveModel:
        """On disk first, then in memory: one assignment, between two micro-batches."""
        # Once begun it is finished, also when the caller has left.
        return await asyncio.shield(self._switch_whole(model, expected, parts, folder))

    async def _switch_whole(
        self, model: LiveModel, expected: str, parts: VersionParts | None, folder: Staging | None
    ) -> LiveModel:
        async with self._switching:
            live = self._serving.model()
            _check_expected(expected, live)
            if model.version != live.version:
                with _full_disk({}):
                    if parts is not None and self.store is not None:
                        await self._run(self.store.add, parts, folder)
                    await asyncio.get_running_loop().run_in_executor(
                        self._notes, self._note, model.version, live.version
                    )
                self._serving.publish(model)
                logger.info("version %s is live, after %s", model.version, live.version)
            return live

    # --- in the thread

    def _add_and_prune(self, store: VersionStore, model: LiveModel) -> None:
        if not store.holds(model.version):
            store.add(VersionParts.of(model.checkpoint))
        self._prune()

    def _prune(self) -> None:
        if self.store is not None and (pointers := self.store.pointers()) is not None:
            self.store.prune({pointers.live, pointers.previous})

    def _note(self, version: str, previous: str) -> None:
        if self.store is None:
            return
        known = self.store.pointers() or Pointers(live=previous)
        self.store.point(known.model_copy(update={"live": version, "previous": previous}))

    def _stored(self) -> dict[str, KnownVersion]:
        found: dict[str, KnownVersion] = {}
        for version in self.store.ids() if self.store else ():
            try:
                stored = self.store.read(version) if self.store else None
            except CheckpointError as error:
                logger.error("%s", error)
                continue
            if stored is not None:
                tasks = [task.name for task in stored.files.config.tasks]
                provenance = stored.files.provenance
                found[version] = KnownVersion(
                    version, "kept", stored.received, tasks, stored.bytes, provenance
                )
        return found

    def _describe(self, model: LiveModel, stored: KnownVersion | None) -> KnownVersion:
        return KnownVersion(
            version=model.version,
            state="live" if self._serving.is_live(model) else "previous",
            received=stored.received if stored else model.created,
            tasks=[task.name for task in model.config.tasks],
            bytes=sum(entry.size for entry in model.checkpoint.manifest.tensors.values()),
            provenance=model.checkpoint.provenance,
        )

    def _in_memory(self) -> "list[Checkpoint]":
        models = (self._serving.model(), self._serving.previous)
        return [model.checkpoint for model in models if model is not None]

    def _missing(self, files: VersionFiles) -> dict[str, int | None]:
        manifests = [checkpoint.manifest for checkpoint in self._in_memory()]
        known = {entry.sha256 for each in manifests for entry in each.tensors.values()}
        known |= {manifest.tokenizer_sha256 for manifest in manifests}
        return {
            digest: size
            for digest, size in files.blobs.items()
            if digest not in known and not (self.store and self.store.has(digest))
        }

    def _make_room(self, wanted: dict[str, int | None], whole: VersionFiles | None) -> Staging:
        place = self.store.staging_folder if self.store else Path(tempfile.gettempdir())
        needed = sum(size or 0 for size in wanted.values())
        if whole is not None:  # it is put together as a folder, too
            needed += sum(size or 0 for size in whole.blobs.values())
        if needed > (free := free_bytes(place)):
            raise StoreFullError(needed, free)
        if self.store:
            return Staging(place / str(time.monotonic_ns()))
        for left in place.glob(f"{_TEMPORARY}*"):
            if not _runs(left.name.removeprefix(_TEMPORARY).partition("-")[0]):
                shutil.rmtree(left, ignore_errors=True)
        return Staging(Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-")))

    def _tidy(self, folder: Staging) -> None:
        folder.discard()
        # A refused version may hang on its error's traceback, in a circle.
        gc.collect()
        return_memory()
        self._prune()

    def _load_kept(self, version: str, live: LiveModel) -> LiveModel:
        if self.store is None or not version or version not in self.store.ids():
            raise UnknownVersionError(version)
        try:
            return _build_anew(self.store.parts(version), live, self.store.staging_folder)
        except CheckpointError as error:
            logger.error("%s", error)
            self.store.remove_damaged(version)
            raise PushRefusedError("weights", f"version {version} is damaged on disk") from error

    # ---

    @contextmanager
    def _alone(self) -> Generator[None]:
        if not self._free.is_set():
            raise PushAbortedError(idle=False)
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


class _Blobs:
    """Where the blobs of a staged version are: just come, kept on disk, or in memory."""

    def __init__(
        self, folder: Staging, store: VersionStore | None, in_memory: Sequence[Checkpoint]
    ) -> None:
        self._folder = folder
        self._store = store
        self._tokenizers = {each.manifest.tokenizer_sha256: each.tokenizer for each in in_memory}
        self._tensors: dict[str, torch.Tensor] = {}
        for checkpoint in in_memory:
            tensors = named_tensors(checkpoint.network)
            for name, entry in checkpoint.manifest.tensors.items():
                self._tensors.setdefault(entry.sha256, tensors[name])

    def read(self, digest: str) -> Blob:
        """The bytes of a blob."""
        staged = self._folder.path(digest)
        if staged.is_file():
            return read_blob(staged)
        if digest in self._tokenizers:
            return self._tokenizers[digest].serialized
        if digest in self._tensors:
            return tensor_bytes(self._tensors[digest])
        if self._store is None:
            raise CheckpointError(f"blob {digest} is not here")
        blob = self._store.blob(digest)
        if hashlib.sha256(blob).hexdigest() != digest:
            self._store.remove_blob(digest)
            raise BlobDamagedError(digest)
        return blob

    def tensor(self, entry: TensorEntry) -> torch.Tensor:
        """A tensor: that of a version in memory where one has it."""
        known = self._tensors.get(entry.sha256)
        fits = known is not None and known.shape == entry.shape
        if known is not None and fits and known.dtype == entry.torch_dtype:
            return known
        return to_tensor(self.read(entry.sha256), entry)


def _build(
    parts: VersionParts, live: LiveModel, blobs: _Blobs | None, folder: Staging
) -> LiveModel:
    """Load a version; beside the live one if there are `blobs` of its architecture."""
    try:
        if blobs is not None:
            return _build_beside(parts.files, live, blobs)
        return _build_anew(parts, live, folder.folder)
    except CheckpointError as error:
        raise PushRefusedError("weights", str(error)[:500]) from error
    except EngineError as error:
        raise PushRefusedError("engine", str(error)[:500]) from error


def _build_beside(files: VersionFiles, live: LiveModel, blobs: _Blobs) -> LiveModel:
    """A version of the live one's architecture: it shares all tensors that are in memory."""
    network, known = live.checkpoint.network, live.checkpoint.manifest.tensors
    changed = {
        name: blobs.tensor(entry)
        for name, entry in files.manifest.tensors.items()
        if entry.sha256 != known[name].sha256
    }
    check_finite(changed)
    states = {manifest_name(name): name for name in network.state_dict()}
    checkpoint = Checkpoint(
        network.with_tensors(
            files.config, {states[name]: tensor for name, tensor in changed.items()}
        ),
        live.tokenizer,
        files.manifest,
        files.metrics,
        files.provenance,
        files.probes,
    )
    return LiveModel.of(checkpoint, live.engine.renewed(checkpoint))


def _build_anew(parts: VersionParts, live: LiveModel, place: Path) -> LiveModel:
    """Any version, as it is loaded from a checkpoint; it is put together in `place`."""
    checkpoint = load_version(parts, place)
    return LiveModel.of(checkpoint, live.engine.renewed(checkpoint))


@contextmanager
def _full_disk(wanted: dict[str, int | None]) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise StoreFullError(sum(size or 0 for size in wanted.values()), 0) from error
        raise


def _runs(process: str) -> bool:
    """Whether the process that has left something behind may still need it."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:  # somebody else's
        pass
    return True


def _check_expected(expected: str, live: LiveModel) -> None:
    if expected and expected != live.version:
        raise OtherVersionLiveError(expected, live.version)
