"""Jobs that take turns, and the micro-batches that are cut from them."""

from dataclasses import replace

from debug_model import debug_model
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.job import Job
from twinhead.server.job_line import JobLine
from twinhead.server.request_check import RequestPlan

MODEL = debug_model()
OTHER = debug_model("debug1")
PLAN = RequestPlan(tasks=(), embedding=None, logits=False, token_logits=False, truncate=True)


def line_of(*jobs: Job) -> JobLine:
    line = JobLine()
    for job in jobs:
        line.add(job)
    return line


def job_of(*lengths: int, model=MODEL, plan=PLAN) -> Job:
    return Job(model, plan, [TokenizedSentence([0] * each, each) for each in lengths], 0.0)


def cut_all(line: JobLine, budget: int) -> list[list[tuple[Job, int]]]:
    batches = []
    while line:
        batches.append([(item.job, item.length) for item in line.cut(budget).items])
    return batches


async def test_a_pool_within_the_budget_is_one_batch():
    line = line_of(job_of(1, 9, 3), job_of(10))
    batch = line.cut(40)
    assert [item.length for item in batch.items] == [1, 3, 9, 10]
    assert batch.padded_tokens == 40
    assert not line


async def test_jobs_take_turns():
    bulk, small, other = job_of(*[30] * 10), job_of(2), job_of(9, 9)
    line = line_of(bulk, small, other)
    leaders = [{item.job for item in line.cut(30).items} for _ in range(4)]
    # Neither waits for the rest of the bulk job; what is near in length may come along.
    assert bulk in leaders[0]
    assert small in leaders[1]
    assert other in leaders[1] | leaders[2]
    assert bulk in leaders[3]


async def test_neighbours_in_length_go_together():
    batches = cut_all(line_of(job_of(10, 50, 11, 49, 12, 51)), 160)
    assert [[length for _, length in batch] for batch in batches] == [[10, 11, 12], [49, 50, 51]]


async def test_padding_costs_less_than_another_pass_would():
    assert MODEL.engine.pass_tokens == 64
    jobs = [job_of(10, 12, 14), job_of(40, 41), job_of(11, 42)]
    batches = cut_all(line_of(*jobs), 1000)
    assert [[length for _, length in batch] for batch in batches] == [
        [10, 11, 12, 14],
        [40, 41, 42],
    ]


async def test_a_job_that_is_alone_is_one_pass_however_much_that_pads():
    assert len(cut_all(line_of(job_of(2, 60, 30)), 180)) == 1


async def test_the_budget_is_for_what_the_engine_pads_to(monkeypatch):
    monkeypatch.setattr(
        MODEL.engine, "padded_shape", lambda rows, tokens: (-(-rows // 8) * 8, tokens)
    )
    line = line_of(job_of(*[10] * 20))
    sizes = []
    while line:
        batch = line.cut(200)  # twenty by themselves
        sizes.append((len(batch.items), batch.padded_tokens))
    assert sizes == [(16, 160), (4, 80)]


async def test_versions_never_share_a_batch():
    line = line_of(job_of(5, 5), job_of(5, 5, model=OTHER), job_of(5, 5))
    first, second = line.cut(1000), line.cut(1000)
    assert (first.model.version, len(first.items)) == ("debug0", 4)
    assert (second.model.version, len(second.items)) == ("debug1", 2)


async def test_what_is_left_of_a_job_is_removed_and_nothing_else():
    gone, kept = job_of(5, 6, 20), job_of(7)
    line = line_of(gone, kept)
    assert [item.length for item in line.cut(10).items] == [5]
    assert line.remove(gone) == 26
    assert line.remove(gone) == 0
    assert cut_all(line, 1000) == [[(kept, 7)]]


async def test_a_repeatable_job_is_cut_as_if_it_were_alone():
    lengths = (3, 40, 9, 12, 41, 10, 39, 11)
    repeatable = replace(PLAN, repeatable=True)

    def own(batches: list[list[tuple[Job, int]]], job: Job) -> list[list[int]]:
        return [[length for _, length in batch] for batch in batches if batch[0][0] is job]

    alone = job_of(*lengths, plan=repeatable)
    expected = own(cut_all(line_of(alone), 100), alone)
    among, other, also = job_of(*lengths, plan=repeatable), job_of(*lengths), job_of(*lengths)
    twin = job_of(*lengths, plan=repeatable)
    batches = cut_all(line_of(other, among, twin, also), 100)
    assert own(batches, among) == own(batches, twin) == expected
    assert all(len({job for job, _ in batch if job.plan.repeatable}) <= 1 for batch in batches)
    # The others share passes as ever.
    assert any({job for job, _ in batch} == {other, also} for batch in batches)


async def test_what_is_left_of_a_repeatable_job_can_be_dropped():
    job, other = job_of(5, 6, plan=replace(PLAN, repeatable=True)), job_of(7)
    line = line_of(job, other)
    assert line.remove(job) == 11
    assert cut_all(line, 100) == [[(other, 7)]]
