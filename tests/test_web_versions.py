"""Versions of a real worker: listed when they change, made live, refused."""

import asyncio
import contextlib
import json

import pytest
from test_admin_client import push, save_small, variant
from twinhead.client import AdminClient, AsyncClient, OtherVersionLiveError, UnknownVersionError
from twinhead.client.web.web_board import Board
from twinhead.client.web.web_model import LiveModel
from twinhead.client.web.web_versions import Versions
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model


@pytest.fixture
def small(start_debug_worker, tmp_path):
    """A worker with a small model, and a second version of that."""
    saved = save_small(tmp_path)
    worker = start_debug_worker(load=load_model, model=str(saved), device="cpu", threads=1)
    first = Checkpoint.load(saved)
    return worker, first, variant(first, provenance={"recipe": "a/recipe.toml"})


async def listed(reader, condition):
    async with asyncio.timeout(30):
        async for section, text in reader:
            if section == "versions" and condition(value := json.loads(text)):
                return value
    raise AssertionError("the board was closed")


async def test_they_change_by_themselves_and_by_hand(small):
    worker, first, second = small
    board = Board()
    async with AsyncClient(worker.target) as client:
        with AdminClient(worker.admin_target) as admin:
            live = LiveModel(client, board)
            versions = Versions(admin, live, board)
            tasks = [asyncio.create_task(each.follow()) for each in (live, versions)]
            async with contextlib.aclosing(board.read()) as reader:
                (only,) = (await listed(reader, lambda found: found["versions"]))["versions"]
                assert (only["version"], only["state"]) == (first.version, "live")
                assert only["bytes"] > 0
                await asyncio.to_thread(push, admin, second)
                found = await listed(reader, lambda found: len(found["versions"]) == 2)
                states = {each["version"]: each["state"] for each in found["versions"]}
                assert states == {second.version: "live", first.version: "previous"}
                assert found["versions"][0]["origin"] == "a/recipe.toml"
                assert (found["lasting"], found["message"]) == (False, "")
                with pytest.raises(OtherVersionLiveError):
                    await versions.activate(first.version, live=first.version)
                with pytest.raises(UnknownVersionError):
                    await versions.activate("0123456789abcdef", live=second.version)
                assert (await live.ask()).version == second.version
                await versions.activate(first.version, live=second.version)
                found = await listed(
                    reader, lambda found: found["versions"][0]["version"] == first.version
                )
                assert [each["state"] for each in found["versions"]] == ["live", "previous"]
            for task in tasks:
                task.cancel()


async def test_a_worker_that_does_not_tell(free_port):
    board = Board()
    async with AsyncClient(f"localhost:{free_port}") as client:
        with AdminClient(f"localhost:{free_port}", timeout=10) as admin:
            await Versions(admin, LiveModel(client, board), board).look()
    async with contextlib.aclosing(board.read()) as reader:
        found = await listed(reader, lambda found: True)
    assert found["versions"] == []
    assert "no worker answers" in found["message"]
