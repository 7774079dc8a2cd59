"""Which files are meant by what a user typed."""

from pathlib import Path

from vitcross.data.image_folder import EXTENSIONS


def find_pictures(pattern):
    """The files that a path, a folder (searched to its depth) or a pattern names, sorted.

    Raises:
        ValueError: there is none.
    """
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS]
    elif path.is_file():
        found = [path]
    else:
        anchor = Path(path.anchor)
        found = [file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file()]
    if not found:
        raise ValueError(f"images must name at least one picture: a file, a folder or a pattern. Received: {pattern}")
    return sorted(found)
