"""The map's data and controls."""

import json
import re

import numpy as np
import pytest
from small_label_run import TASKS, ReportPage, Run, report_of
from twinhead.client.label_report.label_report_map import map_section


def section(run, tasks=TASKS, embeddings=True):
    report = report_of(run, tasks, embeddings=embeddings)
    rows = report._rows - report._failed
    markup = map_section(report._sample.rows, rows, report._tallies)
    page = ReportPage(markup)
    found = re.search(r'id="map-data">(.*?)</script>', markup, re.DOTALL)
    return markup, page, json.loads(found[1]) if found else None


def test_every_answered_row_is_a_point():
    run = Run(200)
    _, page, data = section(run)
    assert "180 points: each row" in page.texts[None]
    assert sorted(data["row"]) == [row + 1 for row in range(200) if row % 10 != 9]
    assert {len(data[key]) for key in ("x", "y", "row", "text")} == {180}
    assert max(map(abs, data["x"])) == 4000
    # The first dimension was made the widest.
    places = [row - 1 for row in data["row"]]
    assert abs(np.corrcoef(data["x"], run.embeddings[places, 0])[0, 1]) > 0.98


def test_points_have_their_labels():
    run = Run(200)
    _, _, data = section(run)
    assert [task["name"] for task in data["tasks"]] == ["topic", "urgent", "flags", "names"]
    for task in data["tasks"]:
        column = run.columns[task["name"]].to_pylist()
        for row, given in zip(data["row"], task["given"], strict=True):
            named = [task["labels"][each[0]] for each in given]
            wanted = column[row - 1]
            if task["name"] == "names":
                assert [each[2] for each in given] == [one["text"] for one in wanted]
                wanted = [one["label"] for one in wanted]
            assert named == (wanted if isinstance(wanted, list) else [wanted])
        assert all(0 <= each[1] <= 1000 for given in task["given"] for each in given)


def test_texts_cannot_end_the_data():
    markup, _, data = section(Run(200))
    assert markup.count("<script") == markup.count("</script>") == 1
    assert any(text.startswith("</script><script>") for text in data["text"])
    assert max(map(len, data["text"])) == 240
    assert "\u2028" not in markup


def test_a_task_can_be_chosen():
    markup, page, _ = section(Run(50))
    assert page.tags.count("option") == 4
    assert "has the colour of the first" in markup
    assert "has the colour of the first" not in section(Run(50), TASKS[:2])[0]


def test_without_tasks_there_are_points():
    _, page, data = section(Run(50), ())
    assert "select" not in page.tags
    assert data["tasks"] == []
    assert len(data["x"]) == 45


@pytest.mark.parametrize(("rows", "embeddings"), [(0, True), (50, False)])
def test_without_embeddings_there_is_no_map(rows, embeddings):
    _, page, data = section(Run(rows), embeddings=embeddings)
    assert "There is no map" in page.texts[None]
    assert data is None


def test_of_many_rows_a_sample_is_drawn():
    _, page, data = section(Run(6000), TASKS[:1])
    assert "a random sample of 2,500 of 5,400 rows" in page.texts[None]
    assert len(data["x"]) == 2500
