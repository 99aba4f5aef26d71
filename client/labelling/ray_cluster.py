"""A Ray cluster: connect, look whether it has what a run needs, and tell what went wrong in it."""

import contextlib
import importlib
import importlib.util
import logging
import math
import os
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ..errors import FileError, InvalidRequestError, TwinheadError, WorkerFailedError

TASK_CPUS = 0.5
"""CPUs of a task that reads or writes."""
# What actors leave to those tasks: enough for one of each.
_SPARE_CPUS = 1
# As many threads as one worker makes good use of; more are better used by a second one.
_MOST_CPUS = 4
# Rows that wait, in a cluster of our own; Ray would take a third of the memory.
_LOCAL_STORE_BYTES = 1024**3
_LOOK_SECONDS = 120.0


@dataclass(frozen=True)
class Room:
    """What a run takes of a cluster."""

    actors: int
    cpus: int
    """Of each actor."""
    readers: int
    """Reading tasks at once; beside them there is room for one that writes."""


@contextlib.contextmanager
def cluster(address: str | None) -> Generator[Any]:
    """The module `ray`, connected; what is started here ends with the block.

    Args:
        address: of a cluster, `auto` for the one that this machine is part of; None to start one
            of this machine alone.

    Raises:
        FileError: Ray is not installed.
        InvalidRequestError: an address that Ray Data cannot use.
        WorkerFailedError: there is no such cluster; or what failed in it.
    """
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pandas") is None:
        raise FileError("--engine ray needs Ray Data: pip install 'twinhead[ray]'")
    if address is not None and address.startswith("ray://"):
        raise InvalidRequestError(
            "Ray Data does not run through ray://; run the command on a node of the cluster with "
            "--ray-address auto, or with `ray job submit`"
        )
    # Nobody is told that Ray is used, and its core does not print what errors say better.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        # On a busy machine it takes longer than the half minute that Ray gives its own service.
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "240")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ray\b")
        import ray

        # Which sets the level of its log itself. What went wrong is raised.
        importlib.import_module("ray.data")
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        local: dict[str, Any] = {}
        if address is None:
            # CPUs are tickets, no cores: reading and writing take little beside the encoder.
            local["num_cpus"] = _usable_cores() + _SPARE_CPUS
            local["object_store_memory"] = _LOCAL_STORE_BYTES
            local["include_dashboard"] = False
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **local,
            )
        except Exception as error:  # Ray raises what it likes
            raise WorkerFailedError(f"no Ray cluster at {address or 'local'}: {error}") from error
        try:
            yield ray
        except Exception as error:
            raise _our_error(error) from error
        finally:
            ray.shutdown()


def room_in(
    nodes: Sequence[Mapping[str, Any]],
    available: Mapping[str, float],
    actors: int | None,
    cpus_per_actor: int | None,
) -> Room:
    """How many actors a cluster holds, beside the tasks that read and write.

    Ray would let actors take every CPU, and then wait for ever for rows that no task can read.

    Args:
        nodes: as `ray.nodes()` lists them.
        available: as `ray.available_resources()` gives them.
        actors: how many are wanted; None for all that there is room for.
        cpus_per_actor: None for four, or fewer on smaller nodes.

    Raises:
        WorkerFailedError: there is too little room.
    """
    sizes = [math.floor(_cpus(node)) for node in usable_nodes(nodes)]
    free = min(math.floor(available.get("CPU", 0.0)), sum(sizes))
    largest = max(sizes, default=0)
    usable = free - _SPARE_CPUS
    cpus = cpus_per_actor or max(1, min(_MOST_CPUS, largest, usable))
    if cpus > largest > 0:
        raise WorkerFailedError(
            f"no node of the Ray cluster has {cpus} CPUs for one actor, the largest has {largest}; "
            f"say --ray-cpus {largest} or fewer"
        )
    most = min(sum(size // cpus for size in sizes), usable // cpus)
    wanted = actors or max(most, 1)
    if wanted > most:
        remedy = f"--ray-actors {most}" if most else "a smaller --ray-cpus, if there is one"
        raise WorkerFailedError(
            f"{wanted} actors of {cpus} CPUs, and {_SPARE_CPUS} CPU for the tasks that read and "
            f"write, do not go into {free} free CPUs of {sum(sizes)} on {len(sizes)} nodes: the "
            f"job would wait for ever. Say {remedy}, add nodes, or let other jobs end first"
        )
    spare = free - wanted * cpus
    return Room(wanted, cpus, math.floor(spare / TASK_CPUS) - 1)


def usable_nodes(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that can hold an actor."""
    return [node for node in nodes if node["Alive"] and _cpus(node) >= 1]


def check_nodes(ray: Any, places: Sequence[str]) -> None:
    """Look whether each node has what actors need, and sees some files or folders.

    Raises:
        WorkerFailedError: one has another release, or not all packages.
        FileError: one does not see a place.
    """

    def look() -> tuple[str, list[str], list[str]]:  # sent whole: a node may have none of our code
        import importlib.metadata
        import importlib.util
        import os

        try:
            release = importlib.metadata.version("twinhead")
        except importlib.metadata.PackageNotFoundError:
            release = ""
        packages = ("torch", "transformers", "pandas")
        lacking = [name for name in packages if importlib.util.find_spec(name) is None]
        return release, lacking, [place for place in places if not os.path.exists(place)]  # noqa: PTH110

    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = usable_nodes(ray.nodes())
    task = ray.remote(num_cpus=0)(look)
    on = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    looks = [task.options(scheduling_strategy=each).remote() for each in on]
    needed = f"twinhead[starter,ray]=={version('twinhead')}"
    for node, found in zip(nodes, ray.get(looks, timeout=_LOOK_SECONDS), strict=True):
        release, lacking, unseen = found
        where = f"the node {node['NodeManagerAddress']} of the Ray cluster"
        if release != version("twinhead") or lacking:
            has = f"twinhead {release}" if release else "no twinhead"
            without = f" without {', '.join(lacking)}" if lacking else ""
            raise WorkerFailedError(f"{where} has {has}{without}; install {needed} on every node")
        if unseen:
            raise FileError(
                f"{where} does not see {unseen[0]}; it must be where every node can reach it: on a "
                "shared file system, or in an object store (s3://...)"
            )


def _our_error(error: BaseException) -> TwinheadError:
    """What failed in a task or an actor, without what Ray wraps it in."""
    seen: BaseException | None = error
    while seen is not None:
        # Ray's wrapping is of the type of what it wraps, too.
        inner: BaseException | None = getattr(seen, "cause", None)
        if inner is None and isinstance(seen, TwinheadError):
            # Behind our message stands how Ray could be told to try again.
            return type(seen)(str(seen).partition("\nFailed to apply UDF transform")[0])
        seen = inner or seen.__cause__
    return WorkerFailedError(f"Ray failed: {error}")


def _cpus(node: Mapping[str, Any]) -> float:
    return node["Resources"].get("CPU", 0.0)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
