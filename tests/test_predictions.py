import numpy as np
import pytest
import torch
from evaluated import TASKS, checkpoint, random_rows
from twinhead.trainer.encoded_rows import encode_rows
from twinhead.trainer.padded_batch import make_batch
from twinhead.trainer.predictions import evaluations_of, predict, score_of
from twinhead.trainer.row_batches import RowBatches


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    model = checkpoint(tmp_path_factory.mktemp("model"))
    rows = encode_rows([random_rows(9), random_rows(11, seed=1)], TASKS, model.tokenizer)
    batches = RowBatches(rows, TASKS, torch.device("cpu"), 64)
    return model.network, rows, batches


def test_every_row_gets_its_own_logits(setting):
    network, rows, batches = setting
    chosen = np.array([0, 3, 5, 8, 12, 19])
    network.train()
    found = predict(network, batches, chosen)
    assert not network.training
    for task in TASKS:
        predicted = found[task.name]
        labelled = [index for index in chosen if task.name in rows.rows[index].labels]
        assert predicted.rows.tolist() == labelled
        for place, index in enumerate(labelled):
            batch = make_batch(rows, np.array([index]), TASKS)
            with torch.no_grad():
                alone = network(batch.input_ids, batch.mask).logits[task.name][0].numpy()
            if task.name == "names":
                tokens, tags = rows.words["names"][index]
                alone = alone[tokens]
                assert predicted.targets[place].tolist() == tags.tolist()
            np.testing.assert_allclose(predicted.logits[place], alone, atol=1e-5)


def test_figures_are_told_for_all_and_for_each_data_set(setting):
    network, rows, batches = setting
    predictions = predict(network, batches, np.arange(20))
    found = evaluations_of("test", ["first", "second"], rows.dataset, predictions)
    told = [(f.metrics.task, f.dataset, f.metrics.rows) for f in found if f.metrics.task == "topic"]
    counts = [
        sum("topic" in row.labels for row in rows.rows[:9]),
        sum("topic" in row.labels for row in rows.rows[9:]),
    ]
    assert told == [
        ("topic", None, sum(counts)),
        ("topic", "first", counts[0]),
        ("topic", "second", counts[1]),
    ]


def test_the_score_is_a_task_or_the_mean_of_all(setting):
    network, _, batches = setting
    metrics = {
        name: found.measure() for name, found in predict(network, batches, np.arange(20)).items()
    }
    mains = {name: measured.primary for name, measured in metrics.items()}
    assert score_of(metrics, "spam") == mains["spam"]
    assert score_of(metrics, "mean") == pytest.approx(np.mean(list(mains.values())))


def test_a_temperature_changes_how_sure_and_not_what(setting):
    network, _, batches = setting
    predicted = predict(network, batches, np.arange(20))["topic"]
    fitted = predicted.fit_temperature()
    assert 0.25 <= fitted <= 20
    assert predicted.of(np.zeros(len(predicted.rows), dtype=bool)).fit_temperature() == 1.0


def test_what_is_decided_is_what_the_figures_count(setting):
    network, _, batches = setting
    for name, found in predict(network, batches, np.arange(20)).items():
        decided = found.decided()
        assert len(decided) == len(found.rows)
        if name == "topic":
            right = [said == true for said, true in zip(decided, found.targets, strict=True)]
            assert found.measure().figures["accuracy"] == pytest.approx(np.mean(right))
        elif name == "spam":
            right = [said[0] == true for said, true in zip(decided, found.targets, strict=True)]
            assert found.measure().figures["accuracy"] == pytest.approx(np.mean(right))
        elif name == "tags":
            pairs = zip(decided, found.targets, strict=True)
            right = [(said == true).all() for said, true in pairs]
            assert found.measure().figures["exact_match"] == pytest.approx(np.mean(right))
        else:
            assert [len(tags) for tags in decided] == [len(tags) for tags in found.targets]
