"""What `images=` names: paths, folders, patterns and lists of them, and what is left out."""

import os

import pytest
from PIL import Image

from vitcross.data.sources.image_files import find_images


@pytest.fixture
def folder(tmp_path):
    """Images of a holiday, with the companions that systems put beside them."""
    trip = tmp_path / "[2024] trip"
    names = ("a.jpg", "B.JPG", "c.png", "@eaDir/a.jpg", "deep/er/a.jpg", "thumbnails/a.jpg", "deep/[d] x, y.JPEG")
    for name in names:
        (trip / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (13, 7)).save(trip / name)
    (trip / "notes.txt").write_text("no image")
    (trip / "._B.JPG").write_bytes(b"of another system")
    (trip / "again").symlink_to(trip, target_is_directory=True)
    return trip


def named(typed, folder):
    return [os.path.relpath(path, folder) for path in find_images(str(typed)).paths]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["B.JPG", "a.jpg"]),
        ("*.JPG", ["B.JPG", "a.jpg"]),
        ("b.jpg", None),  # only endings match in upper and lower case
        ("?.[pj]*", ["B.JPG", "a.jpg", "c.png"]),
        ("*", ["B.JPG", "a.jpg", "c.png"]),
        ("**/*.jp*", ["B.JPG", "a.jpg", "deep/[d] x, y.JPEG", "deep/er/a.jpg"]),
        ("d*/**", ["deep/[d] x, y.JPEG", "deep/er/a.jpg"]),
        ("deep/[d] x, y.JPEG", ["deep/[d] x, y.JPEG"]),
        ("@eaDir/*.jpg", ["@eaDir/a.jpg"]),  # a folder that is typed is meant
        ("notes.txt", ["notes.txt"]),
    ],
)
def test_a_path_that_exists_is_that_path_and_anything_else_a_pattern(folder, pattern, expected):
    if expected is None:
        with pytest.raises(ValueError, match="images must name at least one image"):
            named(folder / pattern, folder)
    else:
        assert named(folder / pattern, folder) == expected


def test_what_a_pattern_matches_and_is_no_image_is_told(folder):
    told = "\n".join(find_images(str(folder / "*")).left_out)
    for words in ("1 x .txt (notes.txt)", "1 x hidden file (._B.JPG)", "4 x folder, which the pattern does not enter"):
        assert words in told, told
    told = "\n".join(find_images(str(folder / "**/*.jpg")).left_out)
    for words in ("folder @eaDir", "folder thumbnails", "link to a folder that is read already"):
        assert words in told, told
    with pytest.raises(ValueError, match=r"Received: .*\.txt; left out: 1 x \.txt \(notes\.txt\)"):
        find_images(str(folder / "*.txt"))


def test_a_folder_follows_the_rules_of_every_folder(folder):
    found = find_images(str(folder))
    assert sorted(os.path.relpath(path, folder) for path in found.paths) == [
        "B.JPG",
        "a.jpg",
        "c.png",
        "deep/[d] x, y.JPEG",
        "deep/er/a.jpg",
    ]
    assert any("@eaDir" in line for line in found.left_out)


def test_a_list_names_several_and_each_file_once(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = find_images("[c.png, *.jpg,'deep/[d] x, y.JPEG',a.jpg]")
    assert [os.path.relpath(path, folder) for path in found.paths] == ["c.png", "B.JPG", "a.jpg", "deep/[d] x, y.JPEG"]
    assert any("used already (a.jpg)" in line for line in found.left_out)
    (folder / "it's.png").write_bytes(b"unreadable, but named")
    assert named("[it's.png,c.png]", folder) == ["it's.png", "c.png"]
    (folder / "[c.png]").write_bytes(b"a name in brackets")
    assert named("[c.png]", folder) == ["[c.png]"]
    with pytest.raises(ValueError, match=r"at least one image.*Received: missing\.png"):
        find_images("[c.png,missing.png]")
