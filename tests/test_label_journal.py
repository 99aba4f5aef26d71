"""The journal: what was answered is there again, whatever became of the run and of the file."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twinhead.client import FileError
from twinhead.client.labelling.label_journal import LabelJournal
from twinhead.client.labelling.label_plan import LabelRequest

RUN = {"input": "abc", "options": {"tasks": ["topic"], "dedupe": True}, "model_version": "v1"}
ANSWERS = [b"first answer", b"", b"\0" * 40, bytes(range(256)) * 3, b"last one"]


def request(number: int, *texts: str) -> LabelRequest:
    texts = texts or (f"text of {number}", "😀 \ud83d")
    return LabelRequest(number, texts, len(texts))


def answers_of(journal: LabelJournal, upto: int = len(ANSWERS)) -> dict[int, bytes]:
    """The answers that it says it has."""
    return {n: journal.read(n) for n in range(upto) if journal.has(request(n))}


def now_and_later(journal: LabelJournal, open_journal) -> Iterator[LabelJournal]:
    yield journal
    yield open_journal()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.csv.journal"


@pytest.fixture
def open_journal(path: Path):
    """Open the journal as another run would, once the last one has let go of it."""
    opened: list[LabelJournal] = []

    def open_it() -> LabelJournal:
        for journal in opened:
            journal.close()
        opened.append(LabelJournal(path))
        return opened[-1]

    yield open_it
    for journal in opened:
        journal.close()


@pytest.fixture
def written(path: Path, open_journal) -> list[int]:
    """Where the head and each record of a journal with `ANSWERS` ends."""
    journal = open_journal()
    journal.begin(RUN)
    ends = [path.stat().st_size]
    for number, answer in enumerate(ANSWERS):
        journal.add(request(number), answer)
        ends.append(path.stat().st_size)
    journal.close()
    return ends


def test_a_new_journal_has_nothing(open_journal):
    journal = open_journal()
    assert (journal.run, journal.answered) == ({}, 0)
    assert not journal.has(request(0))
    with pytest.raises(KeyError):
        journal.read(0)


def test_what_was_answered_is_there_again(written, open_journal):
    journal = open_journal()
    assert (journal.run, journal.answered) == (RUN, len(ANSWERS))
    assert answers_of(journal) == dict(enumerate(ANSWERS))
    journal.add(request(5), b"more")
    journal = open_journal()
    assert journal.answered == len(ANSWERS) + 1
    assert journal.read(5) == b"more"


def test_cut_off_at_any_byte_the_whole_records_stay_and_the_run_goes_on(
    written, path, open_journal
):
    whole = path.read_bytes()
    assert written[-1] == len(whole)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        journal = open_journal()
        kept = sum(size >= end for end in written[1:])
        assert journal.run == (RUN if size >= written[0] else {})
        assert journal.answered == kept
        assert answers_of(journal) == dict(enumerate(ANSWERS[:kept]))
        if not journal.run:
            journal.begin(RUN)
        for number in range(kept, len(ANSWERS)):
            journal.add(request(number), ANSWERS[number])
        journal.close()
        assert path.read_bytes() == whole


def test_a_bit_that_flips_spoils_its_record_and_no_answer(written, path, open_journal):
    whole = path.read_bytes()
    for place in range(written[0], len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        journal = open_journal()
        kept = sum(place >= end for end in written[1:])
        assert journal.run == RUN
        assert answers_of(journal) == dict(enumerate(ANSWERS[:kept]))


def test_a_bit_that_flips_in_the_head_makes_another_run_of_it_or_none(written, path, open_journal):
    whole = path.read_bytes()
    for place in range(written[0]):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if place < len(b"twinhead label journal 1\n"):
            with pytest.raises(FileError, match="is in the way"):
                open_journal()
            assert path.read_bytes() == damaged
        else:
            journal = open_journal()
            assert journal.run != RUN
            assert journal.run or not journal.answered


def test_what_a_power_cut_leaves_behind_the_last_record_is_dropped(written, path, open_journal):
    whole = path.read_bytes()
    for tail in (b"\0" * 10_000, b"\xff" * 500, whole[written[0] : written[1] - 1]):
        path.write_bytes(whole + tail)
        assert answers_of(open_journal()) == dict(enumerate(ANSWERS))
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "data", [b"text,label\na,b\n", b"twinhead label journal 2\n", b"\0", b"\x89PNG\r\n\x1a\n" * 9]
)
def test_another_file_in_its_place_is_left_alone(data, path, open_journal):
    path.write_bytes(data)
    with pytest.raises(FileError, match="is in the way"):
        open_journal()
    assert path.read_bytes() == data


def test_what_is_no_file_is_refused_and_left(path):
    # The run would end with its removal.
    os.mkfifo(path)
    with pytest.raises(FileError, match="no regular file"):
        LabelJournal(path)
    assert path.is_fifo()
    with pytest.raises(FileError, match="no regular file"):
        LabelJournal(Path(os.devnull))
    assert Path(os.devnull).exists()


def test_a_folder_in_its_place_and_a_folder_that_is_not_there_are_told(tmp_path):
    for place in (tmp_path, tmp_path / "none" / "journal"):
        with pytest.raises(FileError, match=f"{place}: cannot write there: "):
            LabelJournal(place)


OTHER_RUN = """
import sys
from pathlib import Path
from twinhead.client.errors import FileError
from twinhead.client.labelling.label_journal import LabelJournal
try:
    journal = LabelJournal(Path(sys.argv[1]))
except FileError as error:
    sys.exit(str(error))
print("open", journal.answered, flush=True)
sys.stdin.read()
"""


def test_two_runs_cannot_have_it_at_once(written, path, open_journal):
    other = [sys.executable, "-c", OTHER_RUN, str(path)]
    ours = open_journal()
    refused = subprocess.run(other, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"another run writes {path}" in refused.stderr
    assert answers_of(ours) == dict(enumerate(ANSWERS))
    ours.close()
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open 5\n"
        with pytest.raises(FileError, match="another run writes"):
            open_journal()
        process.kill()
    assert open_journal().answered == len(ANSWERS)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from twinhead.client.errors import FileError
from twinhead.client.labelling.label_journal import LabelJournal
from twinhead.client.labelling.label_plan import LabelRequest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = None if sys.argv[1] == "none" else Path(sys.argv[1])
journal = LabelJournal(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    journal.begin({"input": "abc"})
    for number in range(1000):
        journal.add(LabelRequest(number, [f"text {number}"], 1), b"answer" * 10)
        assert journal.read(number) == b"answer" * 10
except FileError as error:
    print(number if journal.answered else -1, journal.answered, error)
"""


@pytest.mark.parametrize("size", [0, 30, 1000, 4096, 10_001])
def test_on_a_full_disk_what_was_answered_before_stays(size, path, open_journal):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    number, answered, message = done.stdout.split(maxsplit=2)
    assert message.strip() == f"{path}: File too large"
    assert path.stat().st_size == size
    journal = open_journal()
    assert journal.answered == int(answered) == max(int(number), 0)
    for n in range(journal.answered):
        assert journal.has(LabelRequest(n, [f"text {n}"], 1))
        assert journal.read(n) == b"answer" * 10
    assert (journal.answered > 0) == (size >= 1000)


def test_a_full_disk_is_told_by_a_journal_without_a_name_too():
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, "none", "1000"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("temporary file: File too large\n")


def test_without_a_name_it_keeps_answers_as_long_as_it_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    journal = LabelJournal(None)
    journal.begin(RUN)
    for number, answer in enumerate(ANSWERS):
        journal.add(request(number), answer)
    assert answers_of(journal) == dict(enumerate(ANSWERS))
    assert list(tmp_path.iterdir()) == []
    journal.remove()


def test_records_come_in_any_order_and_the_last_of_a_number_counts(open_journal):
    journal = open_journal()
    journal.begin(RUN)
    for number in (3, 0, 4, 1, 3, 0):
        journal.add(request(number), f"{number} at {journal.answered}".encode())
    expected = {0: b"0 at 4", 1: b"1 at 3", 3: b"3 at 4", 4: b"4 at 2"}
    assert answers_of(journal) == expected
    assert journal.answered == 4
    journal = open_journal()
    assert answers_of(journal) == expected
    assert journal.answered == 4


@given(st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=50)), max_size=40))
def test_it_is_what_a_dict_would_be(records):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = LabelJournal(path)
        journal.begin(RUN)
        for number, answer in records:
            journal.add(request(number), answer)
        journal.close()
        journal = LabelJournal(path)
        assert answers_of(journal, 31) == dict(records)
        assert journal.answered == len(dict(records))
        journal.close()


def test_gaps_and_large_numbers(open_journal):
    journal = open_journal()
    journal.begin(RUN)
    journal.add(request(1_000_000), b"far")
    journal.add(request(7), b"near")
    for each in now_and_later(journal, open_journal):
        assert (each.read(1_000_000), each.read(7), each.answered) == (b"far", b"near", 2)
        for number in (0, 6, 8, 999_999, 1_000_001, 2**63):
            assert not each.has(request(number))
            with pytest.raises(KeyError):
                each.read(number)


def test_an_answer_of_many_bytes(open_journal):
    answer = os.urandom(3_000_000)
    journal = open_journal()
    journal.begin(RUN)
    journal.add(request(0), answer)
    journal.add(request(1), b"after")
    journal = open_journal()
    assert journal.read(0) == answer
    assert journal.read(1) == b"after"


def test_answers_to_other_sentences_are_refused(written, open_journal):
    journal = open_journal()
    assert journal.has(request(1))
    with pytest.raises(FileError, match=r"other sentences .* --allow-changed .* --restart"):
        journal.has(request(1, "another text"))


def test_if_that_is_allowed_they_are_not_taken_and_can_be_replaced(written, open_journal):
    journal = open_journal()
    changed = request(1, "another text")
    assert journal.has(request(1), allow_changed=True)
    assert not journal.has(changed, allow_changed=True)
    journal.add(changed, b"answer to it")
    for each in now_and_later(journal, open_journal):
        assert each.has(changed)
        assert each.read(1) == b"answer to it"
        assert each.answered == len(ANSWERS)
        assert not each.has(request(1), allow_changed=True)
        with pytest.raises(FileError, match="other sentences"):
            each.has(request(1))


def test_to_begin_anew_drops_all(written, path, open_journal):
    journal = open_journal()
    journal.begin({"input": "other"})
    assert (journal.run, journal.answered, answers_of(journal)) == ({"input": "other"}, 0, {})
    journal.add(request(2), b"new")
    for each in now_and_later(journal, open_journal):
        assert each.run == {"input": "other"}
        assert answers_of(each) == {2: b"new"}
    assert path.stat().st_size < written[1]


def test_what_is_forgotten_is_gone_only_when_another_run_begins(written, open_journal):
    journal = open_journal()
    journal.forget()
    assert (journal.run, journal.answered, answers_of(journal)) == ({}, 0, {})
    journal = open_journal()
    assert journal.answered == len(ANSWERS)
    journal.forget()
    journal.begin(RUN)
    assert open_journal().answered == 0


def test_what_is_removed_is_gone_and_the_next_run_begins_anew(written, path, open_journal):
    open_journal().remove()
    assert not path.exists()
    assert open_journal().run == {}


def test_a_journal_that_somebody_has_removed_ends_quietly(written, path, open_journal):
    journal = open_journal()
    path.unlink()
    journal.add(request(9), b"still")
    assert journal.read(9) == b"still"
    journal.remove()


def test_cut_off_while_it_is_in_use_it_is_told(written, path, open_journal):
    journal = open_journal()
    last = len(ANSWERS) - 1
    for size in (written[-1] - 1, written[-2] + 3, written[-2], 0):
        os.truncate(path, size)
        with pytest.raises(FileError, match="cut off while it was in use"):
            journal.read(last)
    with pytest.raises(FileError, match="cut off while it was in use"):
        journal.has(request(last))


def test_a_link_to_a_journal_elsewhere_is_followed(written, path, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)
    journal = LabelJournal(path)
    assert journal.answered == len(ANSWERS)
    journal.close()


def test_reading_a_journal_does_not_hold_it_in_memory(path, open_journal):
    journal = open_journal()
    journal.begin(RUN)
    answer = bytes(1_000_000)
    for number in range(64):
        journal.add(request(number), answer)
    journal.close()
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from twinhead.client.labelling.label_journal import LabelJournal\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert LabelJournal(Path(sys.argv[1])).answered == 64\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    kilobytes = int(done.stdout)
    assert kilobytes < 16_000


def test_an_answer_that_is_written_when_a_signal_comes_is_known_to_be(path, monkeypatch):
    journal = LabelJournal(path)
    journal.begin(RUN)
    write = journal._write

    def interrupted(data: bytes) -> None:
        write(data)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(journal, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.add(request(0), ANSWERS[0])
    assert journal.answered == 1
    assert answers_of(journal) == {0: ANSWERS[0]}
    journal.close()
