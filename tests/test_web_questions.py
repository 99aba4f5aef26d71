"""Questions to real workers: pinned to a version, remembered, and embedded again after a swap."""

import asyncio
import contextlib

import numpy as np
import pytest
from conftest import wait_until
from debug_model import expected_embedding
from test_client import swap
from twinhead.client import AsyncClient, InvalidRequestError
from twinhead.client.web import web_questions
from twinhead.client.web.web_board import Board
from twinhead.client.web.web_model import LiveModel
from twinhead.client.web.web_questions import Question, Questions
from twinhead.client.web.web_recent import RecentSentences


@contextlib.asynccontextmanager
async def asking(worker, examples=()):
    """Questions to a worker, its live model, and what is remembered."""
    async with AsyncClient(worker.target) as client:
        board = Board()
        live, recent = LiveModel(client, board), RecentSentences(examples)
        yield Questions(client, live, recent, board), live, recent


def similarity(first, second):
    one, other = expected_embedding(first), expected_embedding(second)
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


async def test_each_sentence_has_its_own_row(debug_worker):
    async with asking(debug_worker) as (questions, _, recent):
        texts = ["w1 w2", "", "w5 " * 100, "w3000 w4000"]
        answer = await questions.answer(Question(texts))
    assert (answer["version"], len(recent)) == ("debug0", 3)
    assert [row["status"]["code"] for row in answer["rows"]] == ["ok", "empty", "ok", "ok"]
    assert [row["status"]["truncated"] for row in answer["rows"]] == [False, False, True, False]
    assert [task["task"] for task in answer["rows"][0]["tasks"]] == ["parity", "size"]
    # Those of the same question are neighbours, too.
    near = {each["text"]: each["similarity"] for each in answer["rows"][0]["neighbours"]}
    assert near["w3000 w4000"] == pytest.approx(similarity("w1 w2", "w3000 w4000"), abs=1e-3)
    assert len(near) == 2
    assert answer["rows"][1]["neighbours"] == []
    assert recent.stale("debug0") == []


async def test_what_is_typed_is_not_remembered(debug_worker):
    async with asking(debug_worker) as (questions, _, recent):
        await questions.answer(Question(["w1"]))
        answer = await questions.answer(Question(["w1", "w2"], remember=False))
    assert len(recent) == 1
    assert [len(row["neighbours"]) for row in answer["rows"]] == [0, 1]


async def test_too_long_gets_no_answer_when_nothing_is_cut(debug_worker):
    async with asking(debug_worker) as (questions, _, recent):
        answer = await questions.answer(Question(["w5 " * 100, "w1"], truncate=False))
    assert [row["status"]["code"] for row in answer["rows"]] == ["too_long", "ok"]
    assert len(recent) == 1


async def test_more_than_a_request_takes_is_refused(start_debug_worker, monkeypatch):
    async with asking(start_debug_worker(sentences_per_request=2)) as (questions, _, _):
        with pytest.raises(InvalidRequestError, match="2 sentences at a time"):
            await questions.answer(Question(["w1"] * 3))
    monkeypatch.setattr(web_questions, "SENTENCES", 1)
    async with asking(start_debug_worker()) as (questions, _, _):
        with pytest.raises(InvalidRequestError, match="1 sentences at a time"):
            await questions.answer(Question(["w1"] * 2))


async def test_the_answer_is_of_a_version_that_is_known(debug_worker):
    async with asking(debug_worker) as (questions, live, _):
        await questions.answer(Question(["w1"]))
        for version in ("debug1", "debug2"):  # the first is not kept any more
            await asyncio.to_thread(swap, debug_worker, version)
        answer = await questions.answer(Question(["w1"]))
        assert answer["version"] == (await live.current()).version == "debug2"


async def test_what_is_remembered_is_embedded_again_after_a_swap(debug_worker, monkeypatch):
    monkeypatch.setattr(web_questions, "_BATCH", 2)
    examples = ["w1", "w2", "w3", ""]
    async with asking(debug_worker, examples) as (questions, live, recent):
        tasks = [asyncio.create_task(live.follow()), asyncio.create_task(questions.keep_fresh())]
        for version in ("debug0", "debug1"):
            await asyncio.wait_for(live.change("debug0" if version == "debug1" else ""), 30)
            await asyncio.to_thread(wait_until, lambda: not recent.stale(version))  # noqa: B023
            answer = await questions.answer(Question(["w2 w2"], remember=False))
            assert answer["version"] == version
            near = [each["text"] for each in answer["rows"][0]["neighbours"]]
            assert sorted(near) == ["w1", "w2", "w3"]
            await asyncio.to_thread(swap, debug_worker, "debug1")
        for task in tasks:
            assert not task.done()
            task.cancel()
    # Nobody's question is made to wait for that.
    assert max(debug_worker.engine.passes) <= 2


async def test_it_goes_on_when_the_worker_does_not_answer(debug_worker, monkeypatch):
    monkeypatch.setattr(web_questions, "_PAUSE_SECONDS", 0.01)
    async with asking(debug_worker, ["w1"]) as (questions, live, recent):
        await live.ask()
        debug_worker.engine.fail_on = "w1"
        task = asyncio.create_task(questions.keep_fresh())
        await asyncio.to_thread(wait_until, lambda: len(debug_worker.engine.passes) >= 3)
        assert recent.stale("debug0") == ["w1"]
        debug_worker.engine.fail_on = None
        await asyncio.to_thread(wait_until, lambda: not recent.stale("debug0"))
        assert not task.done()
        task.cancel()
