import numpy as np
import pytest
import torch
from evaluated import TASKS, checkpoint, of_choices, random_rows
from twinhead.model.config import TaskKind
from twinhead.trainer.calibration import HIGHEST
from twinhead.trainer.encoded_rows import encode_rows
from twinhead.trainer.padded_batch import make_batch, pad
from twinhead.trainer.split_encoder import SplitEncoder
from twinhead.trainer.task_logits import NOT_OFFERED, encode, task_logits


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    model = checkpoint(tmp_path_factory.mktemp("model"))
    rows = encode_rows([random_rows(12)], TASKS, model.tokenizer)
    return model.network, rows


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """Rows that could have any topic, and rows that could have one of two."""
    tokenizer = checkpoint(tmp_path_factory.mktemp("model")).tokenizer
    some = of_choices(random_rows(40, seed=2), "topic", ("sea", "sky"))
    return encode_rows([random_rows(12), some], TASKS, tokenizer)


def encoder_passes(network):
    passes = []
    handle = network.encoder.register_forward_hook(lambda *_: passes.append(1))
    return passes, handle


@pytest.mark.parametrize("depth", [None, 0, 1])
def test_each_row_goes_to_the_heads_of_its_labels_in_one_pass(setting, depth):
    network, rows = setting
    group = np.array([7, 3, 4, 11, 0, 2])
    input_ids, mask = pad(rows, group)
    with torch.no_grad():
        whole = network(input_ids, mask)
        if depth is None:
            batch = make_batch(rows, group, TASKS)
        else:
            split = SplitEncoder(network.encoder, depth)
            batch = make_batch(rows, group, TASKS, split.lower(input_ids, mask), split)
        passes, handle = encoder_passes(network)
        found = dict(task_logits(network, batch, encode(network, batch)))
        handle.remove()
    assert len(passes) == 1
    assert {task.name for task in found} == {task.name for task in TASKS}
    for task, logits in found.items():
        labelled = [p for p, index in enumerate(group) if task.name in rows.rows[index].labels]
        assert batch.labelled[task.name].tolist() == labelled
        assert len(labelled) < len(group)
        torch.testing.assert_close(logits, whole.logits[task.name][labelled])


def test_nothing_of_the_encoder_runs_on_pooled_vectors(setting):
    network, rows = setting
    group = np.arange(12)
    sentence_tasks = [task for task in TASKS if task.kind is not TaskKind.TOKEN]
    with torch.no_grad():
        pooled = network(*pad(rows, group)).embeddings
        # A cache has pooled vectors only where no task reads single tokens.
        batch = make_batch(rows, group, sentence_tasks, pooled={TASKS[0].pooling: pooled})
        batch.labelled["names"] = torch.zeros(0, dtype=torch.int64)
        passes, handle = encoder_passes(network)
        found = dict(task_logits(network, batch, encode(network, batch)))
        handle.remove()
    assert passes == []
    assert list(found) == sentence_tasks


def test_a_task_without_rows_is_left_out(setting):
    network, rows = setting
    without = [i for i in range(12) if "topic" not in rows.rows[i].labels]
    batch = make_batch(rows, np.array(without), TASKS)
    with torch.no_grad():
        given = task_logits(network, batch, encode(network, batch))
        assert "topic" not in {task.name for task, _ in given}


def test_a_row_has_no_other_labels_than_it_could_have_been_given(setting, limited):
    network, _ = setting
    group = np.random.default_rng(0).permutation(len(limited))
    batch = make_batch(limited, group, TASKS)
    assert set(batch.offered) == {"topic"}
    with torch.no_grad():
        whole = network(*pad(limited, group)).logits["topic"][batch.labelled["topic"]]
        found = {
            task.name: one for task, one in task_logits(network, batch, encode(network, batch))
        }
    of_two = torch.from_numpy(limited.dataset[group])[batch.labelled["topic"]] == 1
    assert 0 < of_two.sum() < len(of_two)
    torch.testing.assert_close(found["topic"][~of_two], whole[~of_two])
    torch.testing.assert_close(found["topic"][of_two][:, [0, 2]], whole[of_two][:, [0, 2]])
    assert (found["topic"][of_two][:, 1] == NOT_OFFERED).all()
    # Even the flattest calibration leaves it no probability.
    assert ((found["topic"][of_two] / HIGHEST).softmax(dim=1)[:, 1] == 0).all()
