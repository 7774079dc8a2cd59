"""Single picture files as a source, without labels."""

from vitcross.data.source import Source


class PictureFiles(Source):
    """Picture files by their paths; no labels. `channels` is 1 or 3."""

    def __init__(self, paths, *, name, channels=3):
        super().__init__(name=name, class_names=(), channels=channels)
        self._paths = paths

    def __len__(self):
        return len(self._paths)

    def record(self, index):
        return {"image": self._paths[index], "label": -1}

    def example_name(self, index):
        return self._paths[index]
