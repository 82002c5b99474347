"""The study: plans that are balanced, answers neither lost nor counted twice, rates that others compute too."""

import errno
import itertools
import json
import os
import re
import threading
import time
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from conftest import noise_picture
from PIL import Image

from sr3.cli import main
from sr3.cli.study import table
from sr3.evaluation.evaluate import evaluate
from sr3.evaluation.result import Result
from sr3.evaluation.study import (
    Answer,
    Study,
    fool_rates,
    make_pairs,
    plan,
    rater_name,
    read_answers,
    read_pairs,
    summary,
    wilson,
)
from sr3.files import sweep
from sr3.model.config import ConfigError
from sr3.picture.collection import Pictures
from sr3.restore.restorer import Restorer

METHODS = ("bicubic", "regression", "sr3")
FIRST_PLAN = [
    ("shown", "b", "m", "right"),
    ("shown", "c", "n", "left"),
    ("shown", "a", "n", "right"),
    ("hidden", "b", "m", "right"),
    ("hidden", "c", "n", "left"),
    ("hidden", "a", "n", "right"),
]


@pytest.fixture
def pairs(tmp_path):
    root = tmp_path / "pairs"
    for k, kind in enumerate(("original", *METHODS)):
        (root / kind).mkdir(parents=True)
        for i in range(6):
            noise_picture(32, 24, seed=10 * k + i).save(root / kind / f"face {i}.png")
    (root / "given").mkdir()
    for i in range(6):
        noise_picture(8, 6, seed=i).save(root / "given" / f"face {i}.png")
    return root


@pytest.fixture
def study(pairs):
    return Study(read_pairs(pairs), pairs / "answers.jsonl")


def answer(rater="anna", task="shown", picture="a", method="sr3", side="left", said="left") -> Answer:
    return Answer(
        time="2026-01-01T00:00:00+00:00",
        rater=rater,
        task=task,
        picture=picture,
        method=method,
        side=side,
        answer=said,
        milliseconds=5,
    )


# --- plans


def even(counts) -> bool:
    return max(counts) - min(counts) <= 1


@pytest.mark.parametrize("rater", ["anna", "ben", "æ"])
@pytest.mark.parametrize(("pictures", "methods"), [(5, 3), (6, 3), (6, 4), (10, 1), (4, 6), (50, 2)])
def test_plans_are_balanced(pictures, methods, rater):
    names, ways = [f"{i}" for i in range(pictures)], [f"m{i}" for i in range(methods)]
    for limit in {1, 2, pictures // 2, pictures, pictures + 1, pictures * methods - 1, pictures * methods}:
        if not 1 <= limit <= pictures * methods:
            continue
        trials = plan(names, ways, rater, limit=limit)
        assert len({(t.task, t.picture, t.method) for t in trials}) == len(trials) == 2 * limit
        seen = set()
        for task in ("shown", "hidden"):
            mine = [t for t in trials if t.task == task]
            assert len(mine) == limit
            assert even([Counter(t.method for t in mine)[m] for m in ways])
            assert even([Counter(t.side for t in mine)[s] for s in ("left", "right")])
            for method in ways:
                assert even([sum(t.side == s for t in mine if t.method == method) for s in ("left", "right")])
            times = Counter(t.picture for t in mine)
            assert even([times[n] for n in names])
            if 2 * limit <= pictures:
                assert not seen & set(times)
            seen |= set(times)
        # one task after the other
        assert sum(a.task != b.task for a, b in pairwise(trials)) == 1


def test_plans_are_reproducible_and_differ_between_raters_and_seeds():
    names = [f"{i}" for i in range(20)]
    first = plan(names, METHODS, "anna", seed=3)
    assert plan(names, METHODS, "anna", seed=3) == first
    assert plan(names, METHODS, "ben", seed=3) != first
    assert plan(names, METHODS, "anna", seed=4) != first
    # fixed for all time: a study that is resumed with another version must not begin anew
    assert [(t.task, t.picture, t.method, t.side) for t in plan("abc", ["m", "n"], "anna", seed=0)] == FIRST_PLAN


@pytest.mark.parametrize("methods", [("m",), ("m", "n"), ("m", "n", "o")])
def test_a_side_says_nothing_of_the_next_but_what_balance_does(methods):
    """Of n questions of a method, half are left and half right, so that the next side is the same in (n / 2 - 1) of
    n - 1; strict alternation would be seen by anybody."""
    pictures, same, pairs, expected = [f"{k}" for k in range(24)], 0, 0, 0.0
    for rater in range(200):
        for method in methods:
            sides = [t.side for t in plan(pictures, methods, f"r{rater}", tasks=["hidden"]) if t.method == method]
            same += sum(a == b for a, b in itertools.pairwise(sides))
            pairs += len(sides) - 1
            expected += len(sides) / 2 - 1
    assert same / pairs == pytest.approx(expected / pairs, abs=4 * 0.5 / pairs**0.5)


def test_sides_methods_pictures_and_tasks_are_left_to_chance():
    """Over many raters, each first question is equally likely: 5 sigma of a binomial."""
    first = [plan("abcd", ["m", "n"], f"rater {i}", limit=2)[0] for i in range(800)]
    for choice, share in (("side", 2), ("method", 2), ("task", 2), ("picture", 4)):
        counts = Counter(getattr(t, choice) for t in first)
        assert len(counts) == share
        for count in counts.values():
            assert abs(count - 800 / share) < 5 * (800 / share * (1 - 1 / share)) ** 0.5
    together = Counter((t.side, t.method, t.task) for t in first)
    assert all(abs(together[c] - 100) < 50 for c in product(("left", "right"), "mn", ("shown", "hidden")))


def test_a_limit_beyond_all_pairs_is_refused():
    with pytest.raises(ConfigError, match="7 trials cannot be drawn from 3 pictures and 2 methods"):
        plan("abc", ["m", "n"], "anna", limit=7)


# --- pictures


def test_pairs_are_found(pairs):
    (pairs / ".hidden").mkdir()
    (pairs / "answers.jsonl").write_text("")
    found = read_pairs(pairs)
    assert found.methods == METHODS
    assert found.names == tuple(f"face {i}" for i in range(6))
    assert found.has_given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.rename(p.parent / "gone"), "there is no folder"),
        (lambda p: (p / "original").rename(p.parent / "o"), "has no folder 'original'"),
        (lambda p: [(p / m).rename(p.parent / m) for m in METHODS], "has no method"),
        (lambda p: (p / "empty").mkdir(), r"empty holds no pictures"),
        (lambda p: (p / "sr3/face 2.png").rename(p / "sr3/other.png"), r"sr3.other\.png has no picture of its name in"),
        (lambda p: (p / "given/face 2.png").unlink(), r"original.face 2\.png has no picture of its name in .*given"),
        (lambda p: noise_picture(32, 25).save(p / "sr3/face 1.png"), r"sr3.face 1\.png has 32x25 pixels.*32x24"),
        (lambda p: noise_picture(8, 8).save(p / "given/face 1.png"), r"given.face 1\.png has 8x8 pixels.*32x24"),
        (lambda p: noise_picture(64, 48).save(p / "given/face 1.png"), r"given.face 1\.png has 64x48 pixels"),
        (lambda p: (p / "sr3/face 1.png").write_bytes(b"no"), r"face 1\.png cannot be read as a picture"),
        (lambda p: noise_picture(32, 24).save(p / "sr3/face 1.webp"), "have the same name; keep one"),
    ],
)
def test_bad_pairs_are_refused_by_name(pairs, change, message, capsys, monkeypatch):
    change(pairs)
    with pytest.raises(ConfigError, match=message):
        read_pairs(pairs)
    monkeypatch.setattr("sys.argv", ["sr3", "study", str(pairs), "--no-open"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert re.fullmatch(r"sr3: [^\n]+\n", capsys.readouterr().err)


def test_pairs_of_a_model_are_what_is_evaluated(tiny, tmp_path):
    restorer = Restorer(tiny, precision="fp32")
    sizes = [(32, 32), (41, 35), (32, 32)]
    arrays = [np.asarray(noise_picture(*size, seed=i)) for i, size in enumerate(sizes)]
    pictures = Pictures(["a.png", "deep/b.jpg", "a.webp"], arrays)
    made = list(make_pairs(restorer, None, pictures, tmp_path / "new" / "pairs", seed=5))
    assert made == ["a", "deep-b", "a-2"]
    found = read_pairs(tmp_path / "new" / "pairs")
    assert found.methods == ("bicubic", "sr3")
    assert set(found.names) == set(made)
    *_, result = evaluate(restorer, pictures, samples=1, seed=5, keep=3)
    assert isinstance(result, Result)
    for name, shown in zip(made, result.shown):
        assert set(shown.pictures) == {"given", "bicubic", "sr3", "original"}
        for kind, pixels in shown.pictures.items():
            written = np.asarray(Image.open(found.files[kind][name]))
            assert np.abs(written.astype(int) - pixels).max() <= (kind == "sr3"), kind
    with pytest.raises(ConfigError, match="is there already"):
        next(make_pairs(restorer, None, pictures, found.folder))


def test_what_is_being_made_is_not_taken_for_what_a_killed_process_left(tiny, tmp_path):
    arrays = [np.asarray(noise_picture(32, 32, seed=seed)) for seed in range(2)]
    making = make_pairs(Restorer(tiny), None, Pictures(["a", "b"], arrays), tmp_path / "pairs")
    next(making)
    (work,) = tmp_path.iterdir()
    long_ago = time.time() - 100_000
    os.utime(work, (long_ago, long_ago))
    sweep.__wrapped__(tmp_path)
    assert list(making) == ["b"]
    assert sorted(path.name for path in (tmp_path / "pairs" / "sr3").iterdir()) == ["a.png", "b.png"]


def test_pairs_appear_whole_or_not_at_all(tiny, tmp_path):
    arrays = [np.asarray(noise_picture(32, 32)), np.asarray(noise_picture(2, 32))]
    with pytest.raises(ConfigError, match="small is smaller than 4"):
        list(make_pairs(Restorer(tiny), None, Pictures(["large", "small"], arrays), tmp_path / "pairs"))
    assert not list(tmp_path.iterdir())


# --- answers


def test_answers_are_kept_once_and_the_study_goes_on(study, pairs):
    trials = study.plan("anna")
    assert study.left("anna") == trials
    assert study.answer("anna", trials[0], "left", 1234)
    assert not study.answer("anna", trials[0], "right", 1)
    assert study.answer("ben", study.plan("ben")[0], "right", 7)
    assert study.answer("anna", trials[1], "right", 99)
    again = Study(read_pairs(pairs), study.path)
    for one in (study, again):
        assert one.left("anna") == trials[2:]
        assert len(one.left("ben")) == 11
    lines = [json.loads(line) for line in study.path.read_text("utf-8").splitlines()]
    assert [(line["rater"], line["answer"], line["milliseconds"]) for line in lines] == [
        ("anna", "left", 1234),
        ("ben", "right", 7),
        ("anna", "right", 99),
    ]
    for line, trial in zip((lines[0], lines[2]), trials):
        assert (line["task"], line["picture"], line["method"], line["side"]) == (
            trial.task,
            trial.picture,
            trial.method,
            trial.side,
        )


def test_an_answer_given_at_the_same_time_by_many_tabs_counts_once(study):
    trial, saved, ready = study.plan("anna")[0], [], threading.Barrier(8)

    def tab():
        ready.wait()
        saved.append(study.answer("anna", trial, "left", 5))

    tabs = [threading.Thread(target=tab) for _ in range(8)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert sorted(saved) == [False] * 7 + [True]
    assert len(study.path.read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_cut_off_by_a_crash_is_left_out_and_spoils_nothing(study, pairs, cut):
    trials = study.plan("anna")
    for trial in trials[:3]:
        study.answer("anna", trial, "left", 5)
    whole = study.path.read_bytes()
    study.path.write_bytes(whole[:-cut])
    again = Study(read_pairs(pairs), study.path)
    lost = cut > 1  # without its line end alone, the answer is there
    assert [len(again.notices), len(again.left("anna"))] == [lost, 9 + lost]
    if lost:
        assert again.notices == ["line 3 of answers.jsonl is cut off or no answer; it is left out"]
    for trial in again.left("anna")[:2]:
        assert again.answer("anna", trial, "right", 5)
    answers, notices = read_answers(study.path)
    assert len(answers) == 5 - lost
    assert len(notices) == lost


def test_an_answer_that_the_disk_refuses_can_be_given_again(study, monkeypatch):
    trials = study.plan("anna")
    study.answer("anna", trials[0], "left", 5)
    before = study.path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            study.answer("anna", trials[1], "left", 5)
    assert study.path.read_bytes() == before
    assert study.answer("anna", trials[1], "left", 5)
    assert len(read_answers(study.path)[0]) == 2


def test_answers_to_one_question_count_once_and_other_files_are_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    lines = [answer(said="left"), answer(said="right"), answer(rater="ben", said="right")]
    path.write_text("".join(line.model_dump_json() + "\n" for line in lines), "utf-8")
    found, notices = read_answers(path)
    assert found == [lines[0], lines[2]]
    assert notices == ["line 2 of answers.jsonl answers a question again; the first answer counts"]
    path.write_text("# My notes\n\nto keep\n", "utf-8")
    with pytest.raises(ConfigError, match="is not a file of answers"):
        read_answers(path)


def test_names_of_one_person_are_one_name():
    assert rater_name("  Anna  Maria ") == rater_name("anna maria") == "anna maria"
    assert rater_name("Zoe\u0308") == rater_name("zo\u00eb")
    for bad in ("", "   ", "x" * 61, "a\x00b"):
        with pytest.raises(ConfigError, match="1 to 60 letters"):
            rater_name(bad)


def test_the_shown_task_needs_the_given_pictures(pairs):
    for picture in (pairs / "given").iterdir():
        picture.unlink()
    (pairs / "given").rmdir()
    with pytest.raises(ConfigError, match="can only be 'hidden'"):
        Study(read_pairs(pairs), pairs / "answers.jsonl")
    assert len(Study(read_pairs(pairs), pairs / "answers.jsonl", ("hidden",)).left("anna")) == 6


# --- figures


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (0, 10), (3, 10), (50, 100), (34, 100), (2499, 2500)])
def test_wilson_agrees_with_scipy(hits, trials):
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson(hits, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_has_its_textbook_value():
    """Newcombe (1998), table I, method 3: 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == 1
    for bad in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson(*bad)


def test_rates_are_counted_by_hand():
    answers = [
        answer("anna", "shown", "a", "sr3", "left", "left"),  # right
        answer("anna", "shown", "b", "sr3", "right", "left"),  # fooled
        answer("ben", "shown", "a", "sr3", "right", "left"),  # fooled
        answer("ben", "shown", "a", "sr3", "right", "right"),  # the same again: does not count
        answer("ben", "shown", "b", "bicubic", "left", "left"),
        answer("ben", "hidden", "a", "sr3", "left", "right"),  # fooled
    ]
    shown_bicubic, shown_sr3, hidden_sr3 = fool_rates(answers)
    assert (shown_bicubic.task, shown_bicubic.method, shown_bicubic.rate, shown_bicubic.low) == (
        "shown",
        "bicubic",
        0,
        0,
    )
    assert (shown_sr3.trials, shown_sr3.fooled, shown_sr3.raters, shown_sr3.pictures) == (3, 2, 2, 2)
    assert (shown_sr3.low, shown_sr3.high) == wilson(2, 3)
    assert shown_sr3.by_rater == {"anna": 0.5, "ben": 1.0}
    assert shown_sr3.by_picture == {"a": 0.5, "b": 1.0}
    assert (hidden_sr3.task, hidden_sr3.rate) == ("hidden", 1)
    found = summary(answers)
    assert (found["protocol"]["raters"], found["protocol"]["trials"]) == (2, 5)
    assert re.search(r"shown\s+sr3\s+66\.7%\s+20\.8% … 93\.9%\s+3\s+2\s+2\s+50% … 100%", table(found))
    assert fool_rates([]) == []


# --- the command


@pytest.fixture
def sr3(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["sr3", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


def test_the_summary_is_printed_and_written(sr3, study, pairs, tmp_path):
    code, _, err = sr3("study", pairs, "--summary")
    assert (code, err) == (2, f"sr3: there are no answers in {study.path} yet\n")
    for trial in study.plan("anna"):
        study.answer("anna", trial, "left", 5)
    with study.path.open("a") as file:
        file.write('{"time": "2026')
    code, out, err = sr3("study", pairs, "--summary", "--json", tmp_path / "s.json")
    assert code == 0
    assert "trials: 12; raters: 1\n" in out
    assert err == "sr3: line 13 of answers.jsonl is cut off or no answer; it is left out\n"
    assert json.loads((tmp_path / "s.json").read_text("utf-8")) == summary(read_answers(study.path)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "x.json"], "--json goes with --summary"),
        (["--model", "photo-4x"], "go with --make"),
        (["--make"], "--make needs --data and --model"),
        (["--make", "--summary"], "not both"),
        (["--task", "quality=30"], "settings of a model's task go with --make"),
        (["--task", "hiden"], "there is no task 'hiden'.*hidden"),
        (["--limit", "19"], "19 trials cannot be drawn"),
        (["--rater", " "], "1 to 60 letters"),
        (["--host", "no such host."], "there is no host"),
    ],
)
def test_bad_use_is_one_sentence(sr3, pairs, arguments, message):
    code, _, err = sr3("study", pairs, "--no-open", *arguments)
    assert code == 2
    assert re.fullmatch(rf"sr3: [^\n]*{message}[^\n]*\n", err), err


@pytest.mark.parametrize("told", [[], ["--no-open"]])
def test_the_page_is_opened_unless_told_otherwise(sr3, pairs, monkeypatch, told):
    opened, served = [], []
    monkeypatch.setattr("sr3.cli.web.open_soon", opened.append)
    monkeypatch.setattr("sr3.web.serving.serve", lambda application, where: (served.append(where), where.close()))
    assert sr3("study", pairs, "--port", 0, *told)[0] == 0
    assert len(served) == 1
    assert len(opened) == (not told)
    assert all(page.startswith("http://127.0.0.1:") for page in opened)


def test_a_busy_port_is_one_sentence(sr3, pairs):
    pytest.importorskip("starlette")
    from sr3.web.serving import listen

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, err = sr3("study", pairs, "--no-open", "--port", port)
    assert code == 2
    assert re.fullmatch(rf"sr3: port {port} of 127.0.0.1 cannot be used [^\n]+\n", err)


def test_pairs_are_made_by_command(sr3, tiny, folder, tmp_path):
    model = tiny.save_pretrained(tmp_path / "model")
    code, out, _ = sr3("study", tmp_path / "pairs", "--make", "--data", folder, "--model", model, "--limit", 2)
    assert code == 0
    assert f"sr3 study {tmp_path / 'pairs'}" in out
    assert read_pairs(tmp_path / "pairs").names == ("a", "b")


# --- the page


@pytest.fixture
def client(study):
    pytest.importorskip("starlette")
    pytest.importorskip("httpx2")
    from starlette.testclient import TestClient

    from sr3.web.study import Desk, application

    return TestClient(application(Desk(study, seconds=0.5)), base_url="http://127.0.0.1")


def ask(client, path, **sent):
    reply = client.post(path, json=sent)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_rater_goes_through_all_trials(client, study):
    told = ask(client, "/next", rater=" Anna ")
    for k, trial in enumerate(study.plan("anna")):
        assert (told["done"], told["total"]) == (k, 12)
        assert set(told["pictures"]) == {"left", "right"} | ({"given"} if trial.task == "shown" else set())
        for place, address in told["pictures"].items():
            kind = "original" if place == trial.side else {"given": "given"}.get(place, trial.method)
            reply = client.get(address)
            assert reply.headers["content-type"] == "image/png"
            with Image.open(study.pairs.files[kind][trial.picture]) as true, Image.open(reply) as shown:
                assert np.array_equal(np.asarray(true), np.asarray(shown))
        told = ask(client, "/answer", rater="Anna", trial=told["trial"], answer="left", milliseconds=10.6)
        assert told["saved"]
    assert told == {"saved": True, "known": True, "done": 12, "total": 12, "trial": None}
    assert ask(client, "/next", rater="anna")["trial"] is None
    assert ask(client, "/next", rater="ben")["done"] == 0
    answers, _ = read_answers(study.path)
    assert [a.milliseconds for a in answers] == [11] * 12


def test_each_task_asks_the_papers_question(study):
    """Saharia et al. (2021), section 4.2.1: the better version of the one in the middle, or the camera's."""
    from sr3.evaluation.study import QUESTIONS
    from sr3.web.study import Desk

    page = Desk(study).page()
    assert "in the middle" in QUESTIONS["shown"]
    assert "small" not in QUESTIONS["shown"]  # a JPEG's picture is as large as its original
    assert "camera" in QUESTIONS["hidden"]
    assert all(json.dumps(question) in page for question in QUESTIONS.values())
    middle = [page.index(f'<figure class="{place}"') for place in ("left", "given", "right")]
    assert middle == sorted(middle)


SUBJECTS, ASKED, PICTURES = 50, 50, 100
"""Of the paper's study, for each task."""


def test_the_papers_study_from_end_to_end(tmp_path, monkeypatch):
    """50 subjects, 50 of 100 pictures each, with the low-resolution picture and without, by simulated raters whose
    answers are known: from the page's desk to the summary."""
    pytest.importorskip("starlette")
    from sr3.web.study import Desk

    for kind in ("original", "given", "sr3"):
        (tmp_path / kind).mkdir()
        side = 2 if kind == "given" else 8
        Image.new("RGB", (side, side)).save(tmp_path / kind / "000.png")
        for k in range(1, PICTURES):
            (tmp_path / kind / f"{k:03}.png").write_bytes((tmp_path / kind / "000.png").read_bytes())
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # 5000 of them
    study = Study(read_pairs(tmp_path), tmp_path / "answers.jsonl", limit=ASKED)
    desk = Desk(study)
    share = {"shown": 0.48, "hidden": 0.44}
    rng = np.random.default_rng(0)
    truth: dict[str, list[bool]] = {"shown": [], "hidden": []}
    of_picture: dict[str, list[bool]] = {}
    for subject in range(SUBJECTS):
        rater, pictures = f"subject {subject}", {"shown": set(), "hidden": set()}
        told = desk.next(rater)
        while told["trial"]:
            task = "shown" if "given" in told["pictures"] else "hidden"
            _, trial = desk._trials[told["trial"]]
            # easier the lower the picture's number, around the task's share
            fooled = rng.random() < share[task] + (int(trial.picture) / (PICTURES - 1) - 0.5) * 0.6
            side = trial.side if not fooled else ("left" if trial.side == "right" else "right")
            truth[task].append(bool(fooled))
            if task == "hidden":
                of_picture.setdefault(trial.picture, []).append(bool(fooled))
            pictures[task].add(trial.picture)
            assert desk.answer(told["trial"], side, 2500)
            told = desk.next(rater)
        assert told["done"] == told["total"] == 2 * ASKED
        assert len(pictures["shown"]) == len(pictures["hidden"]) == ASKED
        assert not pictures["shown"] & pictures["hidden"]  # who saw its small copy would know it again
    answers, notices = read_answers(study.path)
    assert not notices
    found = summary(answers)
    assert (found["protocol"]["raters"], found["protocol"]["trials"]) == (SUBJECTS, 2 * SUBJECTS * ASKED)
    for row in found["rows"]:
        known = truth[row["task"]]
        assert (row["method"], row["trials"], row["raters"], row["pictures"]) == ("sr3", 2500, SUBJECTS, PICTURES)
        assert row["fooled"] == sum(known)
        assert row["low"] < share[row["task"]] < row["high"]
        assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * (0.25 / 2500) ** 0.5, rel=0.02)
    hidden = found["rows"][1]
    assert hidden["by_picture"] == {name: sum(each) / len(each) for name, each in sorted(of_picture.items())}
    assert hidden["by_picture"]["099"] > hidden["by_picture"]["000"] + 0.2
    sides = Counter((a.task, a.side) for a in answers)
    assert set(sides.values()) == {SUBJECTS * ASKED // 2}


def test_nothing_that_is_sent_tells_the_photograph(client, study, pairs):
    # a photograph with all that files carry, and of another sort than the made one
    for i in range(6):
        noise_picture(32, 24, seed=i).save(pairs / "original" / f"face {i}.png", dpi=(300, 300), optimize=True)
    seen: set[str] = set()
    for rater in ("anna", "ben"):
        told = ask(client, "/next", rater=rater)
        while told["trial"]:
            # without the random names, which now and then spell "face"
            text = re.sub(r"\b[0-9a-f]{32}\b", "", json.dumps(told))
            assert not re.search("original|face|answers|" + "|".join(METHODS), text)
            assert re.fullmatch(r"[0-9a-f]{32}", told["trial"])
            replies = {place: client.get(address) for place, address in told["pictures"].items()}
            left, right = replies["left"], replies["right"]
            assert len(left.content) == len(right.content)
            assert dict(left.headers) == dict(right.headers)
            assert left.headers["cache-control"] == "no-store"
            for reply in (left, right):
                with Image.open(reply) as shown:
                    assert (shown.mode, shown.info) == ("RGB", {})
            addresses = {told["trial"], *told["pictures"].values()}
            assert all(re.search("(^|/)[0-9a-f]{32}$", address) for address in addresses)  # 128 bits that tell nothing
            assert not addresses & seen
            seen |= addresses
            told = ask(client, "/answer", rater=rater, trial=told["trial"], answer="left", milliseconds=1)
    page = client.get("/").text
    assert not re.search("face 0|" + "|".join(METHODS), page)


def test_the_page_needs_nothing_from_elsewhere(client):
    reply = client.get("/")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "{{" not in reply.text
    assert not re.search(r"https?:|//[a-z]|@import|url\(", reply.text)


def test_a_reload_shows_the_same_trial_and_two_tabs_count_once(client, study):
    first, second = (ask(client, "/next", rater="anna") for _ in range(2))
    assert first == second
    sent = {"rater": "anna", "trial": first["trial"], "milliseconds": 5}
    one, two = ask(client, "/answer", answer="left", **sent), ask(client, "/answer", answer="right", **sent)
    assert (one["saved"], two["saved"], two["known"]) == (True, False, True)
    assert one["trial"] == two["trial"] != first["trial"]
    assert [a.answer for a in read_answers(study.path)[0]] == ["left"]


def test_a_trial_of_before_a_restart_is_asked_again(client, study):
    told = ask(client, "/answer", rater="anna", trial="0" * 32, answer="left", milliseconds=5)
    assert (told["saved"], told["known"], told["done"]) == (False, False, 0)
    assert not study.path.exists()


def test_bad_requests_are_refused_and_change_nothing(client, study):
    trial = ask(client, "/next", rater="anna")["trial"]
    good = {"rater": "anna", "trial": trial, "answer": "left", "milliseconds": 5}
    for bad in ({"answer": "up"}, {"answer": None}, {"milliseconds": "5"}, {"milliseconds": True}, {"rater": ""}):
        assert client.post("/answer", json={**good, **bad}).status_code == 400
    assert client.post("/answer", json=[1]).status_code == 400
    assert client.post("/answer", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert client.post("/answer", data=good).status_code == 415
    assert client.get("/answer").status_code == 405
    for lost in ("/p/" + "0" * 32, "/p/..%2fanswers.jsonl", "/p/", "/original/face%200.png"):
        assert client.get(lost).status_code == 404
    assert not study.path.exists()


def test_a_full_disk_is_told_and_the_answer_can_be_sent_again(client, study, monkeypatch):
    sent = {"rater": "anna", "trial": ask(client, "/next", rater="anna")["trial"], "answer": "left", "milliseconds": 5}

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        reply = client.post("/answer", json=sent)
    assert reply.status_code == 507
    assert reply.json()["detail"] == "the answer could not be saved: No space left on device"
    assert ask(client, "/answer", **sent)["saved"]


def test_a_rater_given_on_the_command_line_is_the_only_one(study):
    pytest.importorskip("starlette")
    pytest.importorskip("httpx2")
    from starlette.testclient import TestClient

    from sr3.web.study import Desk, application

    client = TestClient(application(Desk(study, rater="Carla </script>")), base_url="http://127.0.0.1")
    assert "Carla </script>" not in client.get("/").text
    told = ask(client, "/next", rater="someone else")
    ask(client, "/answer", rater="x", trial=told["trial"], answer="left", milliseconds=1)
    assert [a.rater for a in read_answers(study.path)[0]] == ["carla </script>"]
