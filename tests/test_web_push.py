"""A push from the page: the command in a process of its own, and what it says."""

import asyncio
import contextlib
import json

import pytest
from conftest import wait_until
from test_admin_client import save_small, variant
from twinhead.client import AdminClient
from twinhead.client.web import web_push
from twinhead.client.web.web_board import Board
from twinhead.client.web.web_push import PushError, Pushes
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model


@pytest.fixture
def small(start_debug_worker, tmp_path):
    """A worker with a small model, its version, and the folder of a second one."""
    saved = save_small(tmp_path)
    worker = start_debug_worker(load=load_model, model=str(saved), device="cpu", threads=1)
    first = Checkpoint.load(saved)
    second = variant(first)
    second.save(tmp_path / "-second")
    return worker, first.version, second.version, tmp_path / "-second"


async def section(board):
    async with contextlib.aclosing(board.read()) as reader:
        return json.loads((await anext(reader))[1])


async def test_it_goes_live(small, monkeypatch):
    worker, first, second, folder = small
    board = Board()
    pushes = Pushes(worker.admin_target, (), board)
    assert (await section(board))["offered"] is True
    monkeypatch.chdir(folder.parent)
    one = asyncio.create_task(pushes.push(folder.name, first, new_tasks=False))
    await asyncio.sleep(0)
    async with contextlib.aclosing(board.read()) as reader, asyncio.timeout(120):
        async for _, text in reader:
            if json.loads(text)["running"]:
                break
    with pytest.raises(PushError, match="another push"):
        await pushes.push(folder.name, first, new_tasks=False)
    await one
    done = await section(board)
    assert (done["done"], done["failed"], done["running"]) == (True, False, False)
    assert (done["folder"], done["offered"]) == ("-second", True)
    assert f"{second} is live, after {first}" in done["said"]
    with AdminClient(worker.admin_target) as admin:
        assert admin.versions().versions[0].version == second


async def test_only_folders_are_pushed(tmp_path):
    board = Board()
    pushes = Pushes("localhost:1", (), board)
    file = tmp_path / "file"
    file.touch()
    for folder in ("", "nowhere", str(file), "starter"):
        with pytest.raises(PushError, match="no such folder"):
            await pushes.push(folder, "", new_tasks=False)
    assert (await section(board))["running"] is False


async def test_it_shows_the_options_that_let_the_page_in_and_the_end_of_what_is_said(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(web_push, "_SHOWN_CHARACTERS", 300)
    board = Board()
    nowhere = str(tmp_path / "nowhere.pem")
    await Pushes("localhost:1", ("--tls-ca", nowhere), board).push(
        str(tmp_path), "", new_tasks=False
    )
    found = await section(board)
    assert found["failed"] is True
    assert nowhere in found["said"].replace("\n", "")
    assert len(found["said"]) <= 300


async def test_it_is_not_offered_without_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(web_push.importlib.util, "find_spec", lambda name: None)
    board = Board()
    pushes = Pushes("localhost:1", (), board)
    assert (await section(board))["offered"] is False
    with pytest.raises(PushError, match=r"pip install 'twinhead\[trainer\]'"):
        await pushes.push(str(tmp_path), "", new_tasks=False)


async def test_its_process_ends_with_the_page(tmp_path, monkeypatch):
    started, commands = [], []
    create = asyncio.create_subprocess_exec

    async def noted(*command, **options):
        # In place of a push that takes its time.
        started.append(await create("sleep", "600", **options))
        commands.append(command[command.index("push") :])
        return started[0]

    monkeypatch.setattr(web_push.asyncio, "create_subprocess_exec", noted)
    pushes = Pushes("localhost:1", ("--tls",), Board())
    task = asyncio.create_task(pushes.push(str(tmp_path), "0123", new_tasks=True))
    await asyncio.to_thread(wait_until, lambda: commands)
    given = ["push", "--worker", "localhost:1", "--tls", "--expect", "0123", "--allow-new-tasks"]
    assert list(commands[0]) == [*given, "--", str(tmp_path)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(started[0].wait(), 30) != 0
