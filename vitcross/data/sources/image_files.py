"""Finds image files and offers them as a source without labels."""

from pathlib import Path

from vitcross.data.sources.image_rules import walk_images
from vitcross.data.sources.source import Source


class ImageFiles(Source):
    """Image files by path, without labels; `channels` is 1 or 3."""

    fingerprint_examples = 20_000  # only the sizes of files are read

    def __init__(self, paths, *, name, channels=3):
        super().__init__(name=name, class_names=(), channels=channels)
        self._paths = paths

    def __len__(self):
        return len(self._paths)

    def record(self, index):
        return {"image": self._paths[index], "label": -1}

    def example_name(self, index):
        return self._paths[index]


def find_images(pattern):
    """The sorted files of a path, a folder (recursive) or a pattern. Raises ValueError if there are none."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [Path(file) for file in walk_images(path)[0]]
    elif path.is_file():
        found = [path]
    else:
        anchor = Path(path.anchor)
        found = [file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file()]
    if not found:
        raise ValueError(f"images must name at least one image: a file, a folder or a pattern. Received: {pattern}")
    return sorted(found)
