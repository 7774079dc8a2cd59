"""Names files briefly, and yet so that each can be told from the others."""

import os
from collections import Counter
from pathlib import Path


def short_names(names):
    """The names of examples (list of str or path): of a path that is absolute its file name, and as many of its folders
    as tell it from the other paths; other names, such as `scenes/test/12`, stay."""
    parts = {name: Path(name).parts for name in names if os.path.isabs(name)}
    lengths = dict.fromkeys(parts, 1)
    while True:
        tails = {path: os.path.join(*whole[-lengths[path] :]) for path, whole in parts.items()}
        count = Counter(tails.values())
        longer = [path for path, tail in tails.items() if count[tail] > 1 and lengths[path] < len(parts[path])]
        if not longer:
            return [tails.get(name, str(name)) for name in names]
        for path in longer:
            lengths[path] += 1
