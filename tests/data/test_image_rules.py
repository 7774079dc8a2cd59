"""What is an image, what never is, and walks that meet each real file once."""

import os
import pathlib

import pytest
from PIL import Image

from vitcross.data.sources import image_rules as rules


def write_image(path, *, kind=None, color=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 5), (color % 256, color // 256, 3)).save(path, format=kind)
    return path


def write_text(path, text="a caption"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def relative(paths, base):
    return [pathlib.Path(path).relative_to(base).as_posix() for path in paths]


@pytest.fixture
def found(tmp_path):
    """Walks `tmp_path`: (images, left out), with relative paths."""

    def walk():
        paths, left_out = rules.walk_images(tmp_path)
        return relative(paths, tmp_path), {reason: relative(names, tmp_path) for reason, names in left_out.items()}

    return walk


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPG", None), ("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.avif", None), ("a.WebP", None), ("a.tiff", None),
        ("a.tga", None), ("a.jp2", None), ("a.apng", "PNG"), ("a.pnm", "PPM"), ("a.ico", None),
        ("a", "PNG"), ("a.2024-03-05", "JPEG"), ("a.jpg_large", "JPEG"), ("a.bin", "GIF"), ("a.image", "WEBP"),
    ],
)  # fmt: skip
def test_images_by_ending_and_by_content(found, tmp_path, name, kind):
    write_image(tmp_path / name, kind=kind)
    assert found() == ([name], {})
    assert rules.reason_left_out(tmp_path / name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.heic", ".heic, which Pillow cannot decode"),
        ("a.NEF", ".nef, which Pillow cannot decode"),  # a raw file of a camera looks like TIFF inside
        ("a.svg", ".svg, which Pillow cannot decode"),
        ("a.eps", ".eps, which Pillow cannot decode"),
        ("a.pdf", ".pdf"), ("a.h5", ".h5"), ("a.mpg", ".mpg"), ("a.TXT", ".txt"), ("a.npy", ".npy"),
        ("a.jpg.part", ".part"), ("a.jpg~", ".jpg~"), ("a.jpg.bak", ".bak"),
        ("._a.jpg", rules.HIDDEN), (".a.png", rules.HIDDEN),
        ("a", "no ending and no image"), ("Thumbs.db", ".db"),
    ],
)  # fmt: skip
def test_other_files_are_left_out_with_their_reason(found, tmp_path, name, reason):
    kind = "TIFF" if name.endswith("NEF") else "PNG"
    if reason in (".txt", ".npy", ".db") or name == "a":
        write_text(tmp_path / name)
    else:
        write_image(tmp_path / name, kind=kind)
    assert found() == ([], {reason: [name]})
    assert rules.reason_left_out(tmp_path / name) == reason


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir",
        ".ipynb_checkpoints",
        ".thumbnails",
        "thumbnails",
        "__MACOSX",
        ".AppleDouble",
        "#recycle",
        ".Trash-1000",
    ],
)
def test_companion_folders_are_never_read(found, tmp_path, folder):
    write_image(tmp_path / "pets" / "a.png")
    write_image(tmp_path / "pets" / folder / "deeper" / "a.png")
    assert found() == (["pets/a.png"], {f"folder {folder}": [f"pets/{folder}"]})
    assert rules.reason_left_out(tmp_path / "pets" / folder / "deeper" / "a.png", base=tmp_path) == f"folder {folder}"
    # What lies above the folder that the user names says nothing about its images.
    assert rules.walk_images(tmp_path / "pets" / folder)[0]


def test_a_class_may_be_called_thumbs():
    assert rules.folder_left_out("thumbs") == "folder thumbs"
    assert rules.folder_left_out("thumbs", is_class=True) is None
    assert rules.folder_left_out("@eaDir", is_class=True) == "folder @eaDir"


def test_each_real_file_once(tmp_path):
    cat, dog = tmp_path / "cat", tmp_path / "dog"
    for k in range(3):
        write_image(cat / f"{k}.png", color=k)
        write_image(dog / f"{k}.png", color=10 + k)
    elsewhere = write_image(tmp_path / "store" / "x", kind="PNG").parent
    (cat / "up").symlink_to("..")  # holds every class
    (cat / "0_other").symlink_to(dog)  # sorted before the files, and still not followed
    (cat / "00.png").symlink_to(dog / "1.png")
    (cat / "self").symlink_to("self")
    (cat / "lost.png").symlink_to("nowhere")
    (cat / "more").symlink_to(elsewhere)
    (dog / "more").symlink_to(elsewhere)  # each file of it belongs to the first class
    (elsewhere / "back").symlink_to(elsewhere)
    os.link(cat / "2.png", dog / "hard.png")
    (tmp_path / "alias").symlink_to("cat")
    (tmp_path / "all").symlink_to(tmp_path)
    folders = {name: tmp_path / name for name in ("alias", "all", "cat", "dog")}
    walk = rules.walk_folders(folders)
    assert {key: relative(paths, tmp_path) for key, paths in walk.paths.items()} == {
        "cat": ["cat/0.png", "cat/1.png", "cat/2.png", "cat/more/x"],
        "dog": ["dog/0.png", "dog/1.png", "dog/2.png"],
    }
    left_out = {reason: sorted(relative(paths, tmp_path)) for reason, paths in walk.left_out.items()}
    assert left_out == {
        rules.FOLDER_LINK: ["alias", "all", "cat/0_other", "cat/more/back", "cat/up", "dog/more"],
        rules.SAME_FILE: ["cat/00.png", "dog/hard.png"],
        rules.BROKEN_LINK: ["cat/lost.png", "cat/self"],
    }


def test_a_folder_of_links_is_read(tmp_path):
    """Caches and git-annex keep content in a hidden store and offer links with speaking names."""
    store = write_image(tmp_path / ".store" / "f00d", kind="PNG")
    (tmp_path / "a.png").symlink_to(store)
    (tmp_path / "b.png").symlink_to(store)  # the same content again
    paths, left_out = rules.walk_images(tmp_path)
    assert relative(paths, tmp_path) == ["a.png"]
    assert set(left_out) == {"folder .store", rules.SAME_FILE}


def test_what_is_no_file_and_what_cannot_be_opened(found, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait forever
    os.mkfifo(tmp_path / "pipe.jpg")
    assert found() == ([], {rules.NO_FILE: ["pipe", "pipe.jpg"]})


def test_lines_count_and_name(tmp_path):
    left_out = {".txt": [f"{tmp_path}/b/{k}.txt" for k in range(1500)], "hidden file": [f"{tmp_path}/._a.jpg"]}
    assert rules.left_out_lines(left_out, base=tmp_path) == [
        "1,500 x .txt (b/0.txt, b/1.txt, b/10.txt, ...)",
        "1 x hidden file (._a.jpg)",
    ]
