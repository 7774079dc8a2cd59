"""Files that are either the old one or the new one, never half of one: temporary name, flush, fsync, rename.

The rename replaces the target in one step (POSIX `rename(2)`), and the fsync of the folder makes the rename itself
survive a power cut.
"""

import contextlib
import os
import tempfile
from pathlib import Path

# The only portable way to read the mask is to set it: done once, at import, before there are threads.
_UMASK = os.umask(0o022)
os.umask(_UMASK)


@contextlib.contextmanager
def replacing(path):
    """A binary file to write into; it takes the place of `path` when the block ends without an exception.

    Where the block raises, the temporary file is removed and what was at `path` before stays as it was. Missing
    parent folders are made.

    Args:
        path: str or path, the file to make or to replace.

    Raises:
        OSError: from the file system, e.g. disk full; the message names the temporary file beside `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The dot hides it from patterns such as *.png; in the target's own folder, a rename stays in one file system.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".writing", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; a run folder is often shared.
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def write_bytes(path, content):
    """Write `content`, bytes, to `path` as a whole."""
    with replacing(path) as file:
        file.write(content)


def write_text(path, text):
    """Write `text`, str, to `path` as a whole, in UTF-8 and with the line ends it has.

    Bytes of file names that are no UTF-8 become `\\udcff`.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def sync_folder(path):
    """Make names that were just created, renamed or deleted in folder `path` survive a power cut."""
    if os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems know no fsync of a folder
    finally:
        os.close(descriptor)
