"""What a cluster must have, and what is said when it has not."""

import importlib.util

import pytest
from twinhead.client import FileError, InvalidRequestError, WorkerFailedError
from twinhead.client.labelling.ray_cluster import Room, cluster, room_in


def nodes(*sizes: float) -> list[dict]:
    return [{"Alive": True, "Resources": {"CPU": size, "memory": 1e9}} for size in sizes]


def room(*sizes: float, free=None, actors=None, cpus=None) -> Room:
    available = {"CPU": sum(sizes) if free is None else free}
    return room_in(nodes(*sizes), available, actors, cpus)


def test_actors_leave_room_for_those_that_read_and_write():
    assert room(3) == Room(1, 2, 1)
    assert room(4, 4) == Room(1, 4, 7)
    assert room(16, 16) == Room(7, 4, 7)
    assert room(16, 16, actors=2) == Room(2, 4, 47)
    assert room(5, 4, actors=2) == Room(2, 4, 1)
    assert room(2, cpus=1) == Room(1, 1, 1)
    assert room(1.5, 1.5) == Room(1, 1, 1)
    # What others hold is not there.
    assert room(16, 16, free=9) == Room(2, 4, 1)


def test_dead_and_cpu_less_nodes_hold_nothing():
    found = [*nodes(4, 4, 0), {"Alive": False, "Resources": {}}, {"Alive": True, "Resources": {}}]
    assert room_in(found, {"CPU": 8.0}, None, 2) == Room(3, 2, 3)
    with pytest.raises(WorkerFailedError, match="0 free CPUs of 0 on 0 nodes"):
        room_in([], {}, None, None)


@pytest.mark.parametrize(
    ("sizes", "asked", "message"),
    [
        # The job that would wait for ever: actors take all, and nobody reads.
        ((4, 4), {"actors": 2, "cpus": 4}, "2 actors of 4 CPUs, and 1 CPU .* Say --ray-actors 1,"),
        ((1,), {}, "1 actors of 1 CPUs, .* do not go into 1 free CPUs of 1 on 1 nodes"),
        ((4,), {"cpus": 4}, "would wait for ever. Say a smaller --ray-cpus"),
        ((8, 8), {"free": 4, "actors": 2, "cpus": 2}, "into 4 free CPUs of 16 on 2 nodes"),
        ((4, 2), {"cpus": 5}, "no node .* has 5 CPUs for one actor, the largest has 4; say .* 4"),
        # Enough in all, but not together.
        ((3, 3, 3), {"actors": 4, "cpus": 2}, "--ray-actors 3"),
    ],
)
def test_too_little_room_is_told_before_anything_starts(sizes, asked, message):
    with pytest.raises(WorkerFailedError, match=message):
        room(*sizes, **asked)


def test_ray_client_addresses_are_refused():
    with (
        pytest.raises(InvalidRequestError, match=r"does not run through ray://; .*--ray-address"),
        cluster("ray://head:10001"),
    ):
        pass


def test_without_ray_it_says_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ray" else found(name)
    )
    with pytest.raises(FileError, match=r"pip install 'twinhead\[ray\]'"), cluster(None):
        pass
