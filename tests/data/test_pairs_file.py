"""Files of pairs: what is read, how splits are cut, and that nothing that is wrong goes unnamed."""

import csv
import io
import json
import logging

import pytest

from tests.data.images import encode, gradient
from vitcross.data.problems import TextProblems, TooManyUnreadable
from vitcross.data.sources.pairs_file import list_pairs
from vitcross.data.sources.table_rows import tell


def write(folder, rows, *, kind="jsonl", images=(), name="pairs"):
    """A file of pairs with its images; rows are dicts, or bytes that are written as they are."""
    folder.mkdir(exist_ok=True)
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(encode(gradient(11, 7)))
    file = folder / f"{name}.{kind}"
    if kind == "jsonl":
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    else:
        columns = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
        lines = [_csv_line(columns)]
        lines += [
            row if isinstance(row, bytes) else _csv_line([row.get(column, "") for column in columns]) for row in rows
        ]
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


def _csv_line(values):
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values)
    return buffer.getvalue().encode()


def listed(file, **arguments):
    problems = TextProblems()
    listing = list_pairs(file, problems=problems, **arguments)
    tell(listing.table)
    return listing, problems.names


NAMES = [f"p{k:02}.png" for k in range(13)]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_pairs_of_a_image_stay_together(tmp_path, kind):
    rows = [{"image": name, "text": f"text, {k} of\n{name}"} for name in NAMES for k in range(3)]
    listing, problems = listed(write(tmp_path, rows, kind=kind, images=NAMES), validation_share=0.3, test_share=0.2)
    assert problems == {}
    by_split = {split: {pair.image for pair in pairs} for split, pairs in listing.splits.items()}
    assert {split: len(images) for split, images in by_split.items()} == {"train": 6, "validation": 4, "test": 3}
    assert len(set.union(*by_split.values())) == 13
    for pairs in listing.splits.values():
        for pair in pairs:
            name = listing.images[pair.image].rpartition("/")[2]
            assert pair.text.endswith(f"of\n{name}") and pair.answers == () and pair.label is None
    assert sum(map(len, listing.splits.values())) == 39 and listing.class_names == ()


def test_the_seed_decides_and_added_images_move_few(tmp_path):
    rows = [{"image": name, "text": name} for name in NAMES]

    def validation(file, seed):
        listing, _ = listed(file, validation_share=0.5, split_seed=seed)
        return {listing.images[pair.image].rpartition("/")[2] for pair in listing.splits["validation"]}

    file = write(tmp_path, rows, images=NAMES)
    first, again, other = (validation(file, seed) for seed in (0, 0, 1))
    assert first == again != other
    more = write(tmp_path, [*rows, {"image": "new.png", "text": "x"}], images=["new.png"], name="more")
    assert len(validation(more, 0) & first) >= len(first) - 1


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_named_splits_and_categories_are_kept(tmp_path, kind):
    splits = ["train", "val", "test", "train", "Validation", "train"]
    kinds = ["b", "b", "c", "a", "a", ""]
    rows = [
        {"image": name, "text": name, "split": split, "category": category}
        for name, split, category in zip(NAMES[:6], splits, kinds, strict=True)
    ]
    listing, problems = listed(write(tmp_path, rows, kind=kind, images=NAMES[:6]), test_share=0.5)
    assert {split: len(pairs) for split, pairs in listing.splits.items()} == {"train": 3, "validation": 2, "test": 1}
    assert listing.class_names == ("a", "b")  # c is in no training pair
    assert [pair.label for pair in listing.splits["train"]] == ["b", "a", None]
    assert problems == {}


def test_without_validation_pairs_some_are_cut_off_or_the_test_pairs_stand_in(tmp_path):
    rows = [{"image": name, "text": name, "split": "test" if k < 4 else "train"} for k, name in enumerate(NAMES)]
    file = write(tmp_path, rows, images=NAMES)
    listing, _ = listed(file, validation_share=0.2)
    assert {split: len(pairs) for split, pairs in listing.splits.items()} == {"train": 7, "validation": 2, "test": 4}
    listing, _ = listed(file, validation_share=0.0)
    assert {split: len(pairs) for split, pairs in listing.splits.items()} == {"train": 9, "validation": 4, "test": 4}
    assert listing.splits["validation"] is listing.splits["test"]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_questions_have_the_most_frequent_answer(tmp_path, kind):
    answers = [["Yes ", "no", "yes"], ["no"], ["two", "three"]]
    rows = [
        {"image": name, "question": "How?", "answers": "|".join(a) if kind == "csv" else a, "type": "count"}
        for name, a in zip(NAMES, answers, strict=False)
    ]
    listing, problems = listed(write(tmp_path, rows, kind=kind, images=NAMES[:3]), validation_share=0.3)
    pairs = sorted((pair for pairs in listing.splits.values() for pair in pairs), key=lambda pair: pair.image)
    assert [pair.label for pair in pairs] == ["yes", "no", "two"]
    assert [pair.answers for pair in pairs] == [("yes", "no", "yes"), ("no",), ("two", "three")]
    assert {pair.question_type for pair in pairs} == {"count"} and problems == {}


def test_one_answer_and_no_type(tmp_path):
    rows = [{"image": name, "question": "Is it?", "answer": "Yes", "type": None, "other": 5} for name in NAMES[:3]]
    listing, _ = listed(write(tmp_path, rows, images=NAMES[:3]))
    assert {(pair.label, pair.question_type) for pair in listing.splits["train"]} == {("yes", "question")}
    assert listing.class_names == ("yes",)


def test_what_is_wrong_in_jsonl_is_counted_and_named(tmp_path):
    good = [{"image": name, "text": "a"} for name in NAMES[:3]]
    rows = [
        *good,
        {"image": NAMES[0], "text": " \t"},
        {"image": "gone.png", "text": "a"},
        {"image": "gone.png", "text": "b"},
        b'{"image": "p00.png", "text": "\x81"}',
        b'{"image": "p00.png", "text": "cut off',
        b"[1, 2]",
        {"image": NAMES[0], "text": {"de": "a"}},
        {"image": "", "text": "a"},
        {"image": NAMES[0]},
        b'{"image": "p00.png", "text": "\\ud800"}',
        b'{"image": "p\\u0000.png", "text": "a"}',
        b"",
    ]
    listing, problems = listed(write(tmp_path, rows, images=NAMES[:3]), validation_share=0.4)
    assert sum(map(len, listing.splits.values())) == 3
    assert problems == {
        "not UTF-8": ["pairs.jsonl:7", "pairs.jsonl:13", "pairs.jsonl:14"],
        "not a line of the format": ["pairs.jsonl:8", "pairs.jsonl:9", "pairs.jsonl:10"],
        "empty text": ["pairs.jsonl:4", "pairs.jsonl:12"],
        "missing image": ["pairs.jsonl:5", "pairs.jsonl:6"],
        "no image named": ["pairs.jsonl:11"],
    }
    assert listing.missing == [str(tmp_path / "gone.png")]


def test_what_is_wrong_in_csv_is_counted_and_named(tmp_path):
    rows = [
        {"image": NAMES[0], "text": "two\nlines, quoted"},
        b"p01.png,one, two",
        b"p01.png",
        b"p01.png,caf\xe9",
        {"image": NAMES[1], "text": "caf\u00e9"},
        {"image": NAMES[1], "text": ""},
        b'p01.png,"quoted"badly',
        {"image": NAMES[2], "text": "last"},
    ]
    listing, problems = listed(write(tmp_path, rows, kind="csv", images=NAMES[:3]), validation_share=0.4)
    texts = {pair.text: pair.name for pairs in listing.splits.values() for pair in pairs}
    assert texts == {"two\nlines, quoted": "pairs.csv:2", "caf\u00e9": "pairs.csv:7", "last": "pairs.csv:10"}
    assert problems == {
        "not a line of the format": ["pairs.csv:4", "pairs.csv:5", "pairs.csv:9"],
        "not UTF-8": ["pairs.csv:6"],
        "empty text": ["pairs.csv:8"],
    }


def test_the_mark_of_windows_is_no_part_of_the_first_column(tmp_path):
    file = write(tmp_path, [{"image": name, "text": "a"} for name in NAMES[:3]], kind="csv", images=NAMES[:3])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    listing, problems = listed(file)
    assert sum(map(len, listing.splits.values())) == 3 and problems == {}


def test_images_of_two_splits_are_named(tmp_path):
    rows = [{"image": NAMES[k % 3], "text": "a", "split": split} for k, split in enumerate(["train"] * 3 + ["val"] * 2)]
    _, problems = listed(write(tmp_path, rows, images=NAMES[:3]))
    assert problems == {"image of the training split": ["pairs.jsonl:4", "pairs.jsonl:5"]}


def test_paths_are_relative_to_the_file_and_each_image_is_one(tmp_path):
    absolute = tmp_path / "elsewhere" / "p.png"
    write(tmp_path / "elsewhere", [], images=["p.png"])
    rows = [{"image": image, "text": "a"} for image in ("a/b.png", "./a/../a/b.png", str(absolute))]
    listing, _ = listed(write(tmp_path / "set", rows, images=["a/b.png"]), validation_share=0.5)
    assert sorted(listing.images) == sorted([str(absolute), str(tmp_path / "set" / "a" / "b.png")])


WRONG = [
    ([{"text": "a"}], {}, r"pairs.jsonl must have the columns 'image' and .*Received: \['text'\]"),
    ([{"image": "p00.png", "words": "a"}], {}, r"'text', or 'question'.*Received: \['image', 'words'\]"),
    ([{"image": "p00.png", "text": "a"}], {"text_column": "tekst"}, "data.text_column must be a column.*mean 'text'"),
    ([{"image": "p00.png", "question": "a"}], {}, "'question' with 'answer' or 'answers'.*Received"),
    ([{"image": "p00.png", "text": "a", "question": "b", "answer": "c"}], {}, "must have the columns"),
    ([b"nothing"], {}, "must have the columns.*Received: no line"),
    ([{"image": "gone.png", "text": "a"}], {}, "at least one pair.*missing image: 1"),
    ([{"image": "p00.png", "text": "a"}], {}, "images for each split. Received none for: validation"),
    ([{"image": "p00.png", "text": "a"}], {"validation_share": 0.0}, "validation_share must be > 0"),
    (
        [{"image": "p00.png", "text": "a", "split": "fold1"}],
        {},
        r"split must be one of train.*'fold1' \(pairs.jsonl:1\)",
    ),
    ([{"image": "p00.png", "text": "a", "split": "test"}], {}, "pairs to train on.*Received: .*test"),
    ([{"image": "p00.png", "text": "a"}], {"validation_share": 1.0}, "validation_share and test_share must be in"),
]


@pytest.mark.parametrize(("rows", "arguments", "message"), WRONG)
def test_wrong_files_are_refused(tmp_path, rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        listed(write(tmp_path, rows, images=["p00.png"]), **arguments)


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="data.file must name a file .*null"):
        listed(None)
    with pytest.raises(ValueError, match="data.file must be an existing file.*none.csv"):
        listed(tmp_path / "none.csv")
    for ending, hint in (("dat", ""), ("xlsx", "save the sheet as CSV"), ("parquet", "data=huggingface")):
        (tmp_path / f"pairs.{ending}").write_text("a")
        with pytest.raises(ValueError, match=rf"must end in .csv, .tsv.*{hint}.*pairs.{ending}"):
            listed(tmp_path / f"pairs.{ending}")


def pairs_in(listing):
    """(file name, text, label) of all pairs of a listing, sorted."""
    return sorted(
        (listing.images[pair.image].rpartition("/")[2], pair.text, pair.label)
        for pairs in listing.splits.values()
        for pair in pairs
    )


def test_an_open_quotation_mark_costs_its_own_line_only(tmp_path, caplog):
    """Whether the next mark that closes it makes an error, a row of the right length, or there is none."""
    lines = [b"image,text", *(f"{name},text of {name}".encode() for name in NAMES)]
    lines[3] = b'p02.png,"never closed'
    lines[7] = b'p06.png,"a text, quoted"'
    listing, problems = listed(write(tmp_path, lines, kind="csv", images=NAMES, name="a"))
    assert problems == {"not a line of the format": ["a.csv:5"]} and len(pairs_in(listing)) == 12  # `write` adds a line
    lines[7] = b'p06.png,a screen of 5"'
    listing, problems = listed(write(tmp_path, lines, kind="csv", images=NAMES, name="b"))
    assert problems == {"not a line of the format": ["b.csv:5"]} and len(pairs_in(listing)) == 12
    lines[7] = b"p06.png,text"
    listing, problems = listed(write(tmp_path, lines, kind="csv", images=NAMES, name="c"))
    assert problems == {"not a line of the format": ["c.csv:5"]} and len(pairs_in(listing)) == 12
    assert "line 5: a quotation mark opens that is not closed in its row" in caplog.text


def test_what_spreadsheets_and_programs_write(tmp_path):
    write(tmp_path, [], images=NAMES[:5])
    file = tmp_path / "pairs.csv"
    file.write_text('sep=;\n"image";text;\np00.png;a;;\n\n;;\np01.png;b;\np02.png;"c ""d""";\n')
    listing, problems = listed(file)
    assert problems == {} and [text for _, text, _ in pairs_in(listing)] == ["a", "b", 'c "d"']
    file.write_text('image,text\np00.png,a\np01.png,"b \\"c\\""\np02.png,d\n')
    assert listed(file)[1] == {"not a line of the format": ["pairs.csv:3"]}
    with pytest.raises(TooManyUnreadable, match="line 3: a quotation mark in a cell must be doubled"):
        listed(file, max_unreadable=0)
    file.write_text("image,text,text\np00.png,a,b\n")
    with pytest.raises(ValueError, match="each column once.*two of 'text'"):
        listed(file)
    (tmp_path / "nan.jsonl").write_text('{"image": "p00.png", "text": "a", "category": NaN}\n' * 2 + "[3]\n")
    with pytest.raises(ValueError, match="images for each split"):
        listed(tmp_path / "nan.jsonl")


def test_lost_lines_are_counted_located_and_limited(tmp_path, caplog):
    good = [{"image": name, "text": name} for name in NAMES]
    bad = [b"[1]", {"image": NAMES[0], "text": ""}, b"{", b"{", b"{"]
    file = write(tmp_path, [*good, *bad], images=NAMES)
    listed(file, max_unreadable=5)
    assert "not a line of the format: 4 (lines 14, 16, 17 and 18); empty text: 1 (line 15)" in caplog.text
    message = (
        r"(?s)5 lines of .*max_unreadable allows 4.*line 14: not a JSON object.*line 15, text: empty.*line 16: not JSON"
    )
    with pytest.raises(TooManyUnreadable, match=message):
        listed(file, max_unreadable=4)
    (tmp_path / "p00.csv").write_text("image,text\n" + "p00.png,a,b\n" * 43)
    with pytest.raises(ValueError, match=r"(?s)at least one pair.*format: 43 \(lines 2 to 44\).*line 2: 3 cells where"):
        listed(tmp_path / "p00.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize(
    ("kind", "delimiter"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("txt", "|"), ("jsonl", None)]
)
def test_encodings_and_delimiters_are_found_and_told(tmp_path, caplog, encoding, kind, delimiter):
    caplog.set_level(logging.INFO)
    write(tmp_path, [], images=NAMES[:5])
    texts = ["un caf\u00e9; ou deux", "tab\there", "a, b", "x | y", "na\u00efve"]
    rows = list(zip(NAMES, texts, strict=False))
    if kind == "jsonl":
        content = "".join(json.dumps({"image": a, "text": b}, ensure_ascii=False) + "\n" for a, b in rows)
    else:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter).writerows([("image", "text"), *rows])
        content = buffer.getvalue()
    file = tmp_path / f"pairs.{kind}"
    file.write_bytes(content.encode(encoding))
    listing, problems = listed(file)
    assert problems == {} and [text for _, text, _ in pairs_in(listing)] == texts
    told = {"cp1252": "cp1252", "utf-16": "utf-16-le", "utf-16-le": "utf-16-le"}.get(encoding, "")
    assert (f"encoded in {told}" in caplog.text) == bool(told)
    assert ("semicolon between cells" in caplog.text) == (delimiter == ";")


def test_numbers_are_texts_and_lists_several_pairs(tmp_path):
    rows = [
        {"image": NAMES[0], "text": 3, "category": 7},
        {"image": NAMES[1], "text": ["b", 2.5, True], "category": 7},
        {"image": NAMES[2], "text": ["c", " "]},
    ]
    file = write(tmp_path, rows, images=NAMES[:3])
    expected = [("p00.png", "3", "7"), ("p01.png", "2.5", "7"), ("p01.png", "b", "7"), ("p01.png", "true", "7")]
    listing, problems = listed(file)
    assert pairs_in(listing) == [*expected, ("p02.png", "c", None)]
    assert problems == {"empty text": ["pairs.jsonl:3"]}
    (tmp_path / "all.json").write_text(json.dumps(rows, indent=1))
    assert pairs_in(listed(tmp_path / "all.json")[0]) == pairs_in(listing)
    (tmp_path / "lists.csv").write_text("filepath,Caption\np00.png,\"['a', 'b, c']\"\np01.png,[no list\n")
    assert pairs_in(listed(tmp_path / "lists.csv")[0]) == [
        ("p00.png", "a", None),
        ("p00.png", "b, c", None),
        ("p01.png", "[no list", None),
    ]
    (tmp_path / "wide.csv").write_text("image,caption_1,caption_2\np00.png,a,b\np01.png,c,\np02.png,,\n")
    listing, problems = listed(tmp_path / "wide.csv")
    assert pairs_in(listing) == [("p00.png", "a", None), ("p00.png", "b", None), ("p01.png", "c", None)]
    assert problems == {"empty text": ["wide.csv:4"]}
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match="one object with the keys images, annotations"):
        listed(tmp_path / "coco.json")


def test_names_of_images_in_other_forms_are_found_and_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    there = ["d/a.png", "d/caf\u00e9.png", "d/Upper.PNG", "d/0012.png", "d/two.png", "d/two.bmp", "d/._a.png"]
    named = [
        "d\\a.png",
        "d/cafe\u0301.png",
        "D/upper.png",
        "d/0012",
        "d/two",
        "d/._a.png",
        "http://x/y.png",
        "d/A.png/b",
    ]
    file = write(tmp_path, [{"image": name, "text": name} for name in named], images=there)
    listing, problems = listed(file)
    assert [name for name, _, _ in pairs_in(listing)] == ["0012.png", "Upper.PNG", "a.png", "caf\u00e9.png"]
    assert problems == {"missing image": [f"pairs.jsonl:{k}" for k in (5, 7, 8)], "never an image": ["pairs.jsonl:6"]}
    for told in (
        "with backslashes",
        "another Unicode form",
        "upper and lower case",
        "without the ending",
        "may be any",
    ):
        assert told in caplog.text
    elsewhere = [{"image": f"{start}{name}", "text": "a"} for start in ("/content/", "C:\\old\\") for name in there[:2]]
    listing, problems = listed(write(tmp_path, elsewhere, images=there, name="moved"))
    assert len(pairs_in(listing)) == 4 and problems == {} and "by a path of another place" in caplog.text
    file = write(tmp_path / "other", [{"image": "a.png", "text": "a"}], images=["train/a.png"])
    with pytest.raises(ValueError, match=rf"line 1, image: no such file: .*data.root={tmp_path}/other/train"):
        listed(file)
