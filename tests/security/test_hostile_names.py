"""Classes, files, questions and answers with hostile names: trained, evaluated, opened in a real browser."""

import csv
import os
import subprocess
import sys

import pytest

from tests.browser import chromium
from tests.security import hostile
from tests.tiny_texts import SHORT, tiny_model
from vitcross.terminal import printable_lines


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("text", [hostile.ELEMENT, f"<p title='{hostile.ATTRIBUTE}'\">", hostile.SCRIPT])
def test_a_page_that_is_careless_is_found(text, browser, tmp_path):
    (tmp_path / "page.html").write_text(f"<!doctype html><title>x</title><script></script><p>{text}")
    found = hostile.look(browser, tmp_path / "page.html")
    assert found["ran"] == 1
    with pytest.raises(AssertionError):
        hostile.check_page(found)


@pytest.mark.parametrize(
    "text", [hostile.TERMINAL, hostile.LINES, hostile.REVERSED, "\t", "\u2028", f"\n{hostile.FORGED}"]
)
def test_an_output_that_is_careless_is_found(text):
    with pytest.raises(AssertionError):
        hostile.check_output(subprocess.CompletedProcess([], 0, f"a {text}".encode(), b""))


def test_messages_keep_their_lines_and_no_others():
    assert printable_lines("one\n  two\nthree\x1b[0m\x85") == "one\n  two\n  three?[0m"
    assert printable_lines("") == "" and printable_lines(hostile.LINES).count(f"\n  {hostile.FORGED}") == 2


def test_the_output_of_every_process_is_plain(folder_run):
    """`run` has looked at every byte; here: that it named what it was to name."""
    _, (trained, evaluated, explained) = folder_run
    assert trained.count("Skipping an unreadable image") == len(hostile.CLASSES)
    assert "validation split" in evaluated
    assert f"{len(hostile.ALL)} images" in explained and "not readable, left out" in explained


def test_a_table_holds_the_names_as_they_are(folder_run):
    """`predictions.csv` is data: a name is quoted, not changed, so that what reads it finds the file and the class. A
    spreadsheet is to open it as text."""
    folder, _ = folder_run
    with (folder / "evaluation/validation/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(hostile.CLASSES)
    assert all(row.keys() == rows[0].keys() and None not in row for row in rows)
    names = {row["example"] for row in rows}
    assert any(name.endswith(hostile.file_name(hostile.FORMULA, "7.png")) for name in names)
    there = [name for name in names if "\\" not in name]
    files = [str(path) for path in folder.parent.rglob("*.*") if path.is_file()]
    assert len(there) > 5 and all(any(file.endswith(f"/{name}") for file in files) for name in there)


def test_no_page_takes_a_name_for_html(folder_run, browser):
    folder, _ = folder_run
    found = {path.relative_to(folder).as_posix(): hostile.look(browser, path) for path in hostile.pages(folder)}
    assert {"attention/index.html", "attention/viewer.html", "evaluation/validation/attention/viewer.html"} <= set(
        found
    )
    assert any(name.startswith("evaluation/images/") for name in found)
    for name, page in found.items():
        hostile.check_page(page)
        assert "onerror=window.pwned=1" in page["text"], f"{name} does not show the name of a class at all"


@pytest.mark.slow
def test_a_run_that_fails_says_so_plainly(tmp_path):
    """Also what TensorFlow says of an error inside its pipeline, and the traceback."""
    data, folder = hostile.write_folder(tmp_path / "images"), tmp_path / "run"
    few = ["data.max_unreadable=0", "data.batch_size=8"]
    done = hostile.run(
        "train.py",
        "data=image_folder",
        f"data.root={data}",
        *hostile.TINY,
        *SHORT,
        *few,
        f"hydra.run.dir={folder}",
        status=1,
    )
    assert b"images cannot be read, data.max_unreadable allows 0" in done.stderr
    assert hostile.unprintable((folder / "traceback.txt").read_text()) == []


@pytest.mark.slow
def test_questions_answers_and_their_types(tmp_path, browser):
    file, folder = hostile.write_questions(tmp_path), tmp_path / "run"
    length = ["trainer.steps=2", "data.batch_size=4", "data.validation_share=0.4", "data.vocabulary_size=300"]
    hostile.run(
        "train.py", "data=pairs", "model=question_answering", "task=question_answering", f"data.file={file}",
        *tiny_model("vqa"), *SHORT, *length, "data.image_size=[32,40]", f"hydra.run.dir={folder}",
    )  # fmt: skip
    hostile.run("evaluate.py", f"run={folder}", hostile.NO_WANDB, "num_probes=3", "num_trust=5")
    image = next(tmp_path.glob("*.png"))
    hostile.run("evaluate.py", f"run={folder}", f"images={image}", f"text={hostile.SCRIPT}", hostile.NO_WANDB)
    found = {path: hostile.look(browser, path) for path in hostile.pages(folder)}
    assert len(found) == 4
    for page in found.values():
        hostile.check_page(page)
        assert "window.pwned=1" in page["text"]


def test_a_wrong_command_says_hostile_words_plainly(tmp_path):
    root = tmp_path / hostile.file_name(hostile.LINES + hostile.TERMINAL)
    (root / "only one").mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(hostile.ROOT)}
    for arguments in (
        ["train.py", "data=image_folder", f"data.root='{root}'"],
        ["train.py", f"data={hostile.REVERSED}"],
        ["train.py", f"resume={root}"],
        ["evaluate.py", f"run={root}"],
        ["evaluate.py", f"run={hostile.SCRIPT}", f"images={hostile.TERMINAL[:-1]}"],
        ["train.py", f"--{hostile.TERMINAL[:-1]}"],
    ):
        done = subprocess.run(
            [sys.executable, str(hostile.ROOT / arguments[0]), *arguments[1:]],
            cwd=tmp_path, capture_output=True, check=False, timeout=120, env=environment,
        )  # fmt: skip
        assert done.returncode == 2 and done.stderr.startswith(b"vitcross: "), done.stderr
        assert b"Traceback" not in done.stderr
        hostile.check_output(done)
