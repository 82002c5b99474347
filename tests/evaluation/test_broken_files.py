"""Files of evaluations and of labels that are damaged: each one sentence."""

import json
import os
import sys
from contextlib import suppress

import pytest
from fuzz import changed, deep, mutated

from sr3.cli.compare import table
from sr3.evaluation.compare import compare
from sr3.evaluation.run import read_run
from sr3.metric.accuracy import read_labels
from sr3.metric.features import MissingError
from sr3.model.config import ConfigError
from sr3.picture.collection import DataError
from sr3.training.labels import from_file

ROWS = [
    {"method": name, "psnr": 20.0 + k, "swd": 3.0 + k, "interval": {"psnr": [19.0, 21.0], "swd": [2.0, 4.0]}}
    for k, name in enumerate(("bicubic", "sr3"))
]
RUN = {
    "protocol": {"data": "x", "factor": 4, "method": "sr3", "baseline": "bicubic", "pictures": 3},
    "rows": ROWS,
    "names": ["a", "b", "c"],
    "each": {row["method"]: {"psnr": [row["psnr"] + k for k in (-1, 0, 1)]} for row in ROWS},
}


def compared(good, path):
    try:
        table(compare(read_run(good), read_run(path)))
    except ConfigError as error:
        return str(error)
    return None


def test_mutated_evaluations(tmp_path):
    good, path, fine = tmp_path / "good.json", tmp_path / "a.json", 0
    good.write_text(json.dumps(RUN))
    assert compared(good, good) is None
    for seed in range(120):
        if seed % 3:
            path.write_text(json.dumps(changed(RUN, seed)))
        else:
            path.write_bytes(mutated(json.dumps(RUN).encode(), seed))
        fine += compared(good, path) is None
    path.write_text(deep())
    assert "a.json is not a file" in (compared(good, path) or "")
    assert 0 < fine < 120


@pytest.mark.parametrize(
    "text",
    [b"a,\xb2\n", b"a,1\nb,\xc2\xb2\n", b"\xff\xfe", b"a,1\nb," + b"9" * 5000, b"x" * 200_000, b"b,1"],
)
def test_labels(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(MissingError, match=r"a\.csv"):
        read_labels(tmp_path / "a.csv", ["a"])
    with suppress(MissingError):
        read_labels(tmp_path, ["a"])


def test_a_label_that_two_lines_or_two_pictures_dispute_is_refused(tmp_path):
    """A picture's class was the last line's, and pictures of two folders of one name had one class."""
    table = tmp_path / "a.csv"
    table.write_text("name,class\na.png,1\nb.png,2\nb.png,2\n")
    assert read_labels(table, ["b.png", "a.png"]) == [2, 1]
    with pytest.raises(MissingError, match=r"a\.png is the name of two pictures, and .*a\.csv cannot say"):
        read_labels(table, ["b.png", "a.png", "a.png"])
    table.write_text("a.png,1\nb.png,2\nb.png,3\n")
    with pytest.raises(MissingError, match=r"a\.csv has two classes for b\.png, 2 and 3"):
        read_labels(table, ["a.png"])


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders there")
def test_a_pipe_is_no_table(tmp_path):
    """Nobody fills it, and its end would never come."""
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(MissingError, match=r"a\.csv"):
        read_labels(tmp_path / "a.csv", ["a"])
    with pytest.raises(DataError, match=r"a\.csv"):
        from_file(tmp_path / "a.csv", ["a"])
