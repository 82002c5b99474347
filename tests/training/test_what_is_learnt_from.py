"""What `sr3 train` takes for originals, where its run may lie, and whether what it says fits a terminal."""

from types import SimpleNamespace

from conftest import noise_picture
from test_session import SMALL

from sr3.cli import train
from sr3.picture.image import read, write
from sr3.training.notes import Report


def test_results_of_sr3_are_neither_learnt_from_nor_measured_on(sr3, folder, tmp_path):
    val = tmp_path / "val"
    val.mkdir()
    noise_picture(48, 48, seed=9).save(val / "v.png")
    for place in (folder, val):
        write(place / "p-4x.png", read(folder / "a.png"), note={"model": "photo-4x-fast", "result": "4x"})
    settings = [f"--set={s}" for s in (*SMALL, "training.pictures=4")]
    line = ["train", "photo-4x-regression", "--data", folder, "--device", "cpu", "--val", val, *settings]
    code, _, err = sr3(*line, "--out", tmp_path / "run")
    assert code == 0, err
    assert err.count("1 made by sr3 itself, left out: p-4x.png") == 2
    assert err.startswith("3 pictures")


def test_a_run_is_not_among_its_pictures(sr3, folder, tmp_path):
    before = sorted(folder.rglob("*"))
    for line in (["--data", folder], ["--data", tmp_path, "--val", folder]):
        code, out, err = sr3("train", "photo-4x-regression", *line, "--out", f"{folder}/")
        assert (code, out) == (2, "")
        assert err == (
            f"sr3: {folder} holds the pictures, and a run's samples would lie among them; give --out {folder}/run\n"
        )
    assert sorted(folder.rglob("*")) == before


def test_lines_fit_a_terminal():
    report = Report(1_234_560, 0.0123456, 0.123456, 1.2345e-4, 123.45, 0.0123, 0, 1.0, {})
    board = SimpleNamespace(run=SimpleNamespace(recipe=SimpleNamespace(training=SimpleNamespace(pictures=2_000_000))))
    board.share = lambda _: 0.1234
    clock = SimpleNamespace(fits=lambda _: 2e6)
    line = train._line(report, board, clock)  # type: ignore[arg-type]
    assert line == "1234560 seen  loss 0.0123  grad 0.123  rate 0.00012  123/s  12.3% peak  wait 1%"
    assert len(line) <= 80
    report.skipped, clock.fits = 3, lambda _: 1000.0
    first, *more = train._line(report, board, clock).splitlines()  # type: ignore[arg-type]
    assert first == line
    assert more == [
        "    skipped 3: their loss was not finite",
        "    of 765,440 to come, about 1,000 fit into the minutes",
    ]
    measures = {"error": 0.01234, "psnr": 27.1234, "swd": 12.3456, "consistency": 0.0123, "consistency_free": 1.234}
    board.measure = lambda: {"seen": 1_234_560, "measures": measures, "seconds": 12.3}
    assert len(train._measured(board)) <= 80  # type: ignore[arg-type]
