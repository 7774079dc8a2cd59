"""Says what an image file is and what never is, and finds the images of folders: each real file once.

An image is a file of a raster format that Pillow decodes itself: by its ending where that says what the file is, by its
content (only the header is read) where it does not. Nothing is left out silently: each walk counts by reason.
"""

import dataclasses
import functools
import mimetypes
import os
import stat
import warnings

from PIL import Image, features

# Large images are refused before they are decoded (`decode.MAX_PIXELS`).
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Formats that Pillow hands to another program (EPS, WMF), only writes (PDF), only recognizes (BUFR, GRIB, HDF5, MPEG),
# or that hold films (FLI), metadata (IPTC) or thumbnails (XVTHUMB).
_NO_RASTER = frozenset({"BUFR", "EPS", "FLI", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF", "XVTHUMB"})
_CODECS = {"AVIF": "avif", "JPEG": "jpg", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # that Pillow may be built without
# Images that Pillow does not decode. Raw files of cameras would pass for TIFF: Pillow sees their thumbnail only.
_UNDECODED = """
    .3fr .ai .arw .cr2 .cr3 .dcm .dng .emf .eps .erf .exr .hdr .heic .heif .hif .jxl .jxr .kdc .mef .mos .mrw .nef .nrw
    .orf .pef .psb .raf .raw .rw2 .rwl .sr2 .srf .srw .svg .svgz .wmf .x3f .xcf
"""
_UNDECODED = frozenset(_UNDECODED.split())
_UNFINISHED = (".bak", ".crdownload", ".download", ".orig", ".part", ".partial", ".swp", ".tmp", "~")
# Folders that systems and programs put beside images; names that begin with a dot are hidden and never images either.
_COMPANIONS = """
    #recycle #snapshot $recycle.bin @__thumb @eadir @recently-snapshot @recycle @tmp __macosx __pycache__ lost+found
"""
_THUMBNAILS = frozenset({"_thumb", "_thumbnails", "_thumbs", "thumb", "thumbnail", "thumbnails", "thumbs"})
_COMPANIONS = frozenset({*_COMPANIONS.split(), "system volume information", *_THUMBNAILS})
HIDDEN, BROKEN_LINK, NO_ACCESS, NO_FILE = (
    "hidden file",
    "broken link",
    "folder that cannot be opened",
    "no regular file",
)
SAME_FILE = "link to a file that is used already"
FOLDER_LINK = "link to a folder that is read already, or that holds it"
_NAMED = 3  # names that a line lists of each reason


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageWalk:
    """The images of folders, and what was left out of them.

    Attributes:
        paths: dict of the key of each folder to the sorted list of the paths (str) of its images.
        left_out: dict of each reason to the list of paths that were left out for it.
    """

    paths: dict
    left_out: dict


def walk_images(folder):
    """The images in a folder and its subfolders: `(sorted list of paths, left_out)`, as of `walk_folders`."""
    walk = walk_folders({"": folder})
    return walk.paths.get("", []), walk.left_out


def walk_folders(folders):
    """The `ImageWalk` of several folders (dict of key to path), e.g. one per class; each real file occurs once.

    Links to files and folders elsewhere are followed. A link to a folder that lies in one of `folders` or holds one is
    not, and a file that several paths name (links, hard links) belongs to the first: folders and files come before
    links, otherwise in the order of `folders`. A folder that is such a link itself has no key in `paths`.
    """
    walker = _Walker()
    ordered = sorted(folders, key=lambda key: os.path.islink(folders[key]))  # stable
    for key in ordered:
        walker.reserve(key, os.fspath(folders[key]))
    for key in walker.paths:
        walker.read(key, os.fspath(folders[key]))
    walker.follow_links()
    return ImageWalk(
        paths={key: sorted(walker.paths[key]) for key in folders if key in walker.paths}, left_out=walker.left_out
    )


def reason_left_out(path, *, base=None):
    """Why a path is never an image, in words; None if it is one. Names of folders count below `base` only."""
    path = os.fspath(path)
    *folders, name = os.path.relpath(path, base).split(os.sep) if base is not None else [os.path.basename(path)]
    for folder in folders:
        reason = None if folder == os.pardir else folder_left_out(folder)
        if reason is not None:
            return reason
    return _name_left_out(name) if is_image_name(name) is not None else _content_left_out(path, name)


def folder_left_out(name, *, is_class=False):
    """Why a folder of this name is never read, in words, or None. A class may be called `thumbs`."""
    if name.startswith("."):
        return f"folder {name}" if name != "." else None
    if name.lower() in _COMPANIONS and not (is_class and is_thumbnails(name)):
        return f"folder {name}"
    return None


def is_thumbnails(name):
    """Whether a folder of this name usually holds small copies of images."""
    return name.lower() in _THUMBNAILS


def left_out_lines(left_out, *, base):
    """What was left out, a line (str) for each reason with its count and its first paths, relative to `base`."""
    lines = []
    for reason, paths in sorted(left_out.items(), key=lambda item: (-len(item[1]), item[0])):
        names = [as_text(os.path.relpath(path, base)) for path in sorted(paths)[:_NAMED]]
        more = ", ..." if len(paths) > _NAMED else ""
        lines.append(f"{len(paths):,} x {reason} ({', '.join(names)}{more})")
    return lines


def as_text(path):
    """A path as valid UTF-8 text: other bytes become `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@functools.cache
def raster_formats():
    """Sorted names of Pillow's formats that are images here: the argument `formats` of `PIL.Image.open`."""
    Image.init()
    return tuple(
        sorted(
            name
            for name in Image.OPEN
            if name not in _NO_RASTER and (name not in _CODECS or features.check(_CODECS[name]))
        )
    )


@functools.cache
def image_endings():
    """The endings, in lower case and with their dot, of files that are images without a look at their content."""
    formats = {*raster_formats(), "MPO"}  # Pillow reads MPO, several JPEGs in one file, as JPEG
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats) - _UNDECODED


@functools.cache
def _mime_types():
    known = mimetypes.MimeTypes(filenames=())  # Python's own table, not that of the machine
    return {**known.types_map[False], **known.types_map[True]}


def _ending(name):
    return os.path.splitext(name)[1].lower()


def is_image_name(name):
    """True if a file name is that of an image, False if of anything else, None if only the content can tell."""
    ending = _ending(name)
    if name.startswith(".") or name.lower().endswith(_UNFINISHED):
        return False
    if ending in image_endings():
        return True
    if ending in _UNDECODED or ending in Image.registered_extensions():
        return False
    return None if _mime_types().get(ending, "application/octet-stream") == "application/octet-stream" else False


def _name_left_out(name):
    if is_image_name(name):
        return None
    if name.startswith("."):
        return HIDDEN
    ending = _ending(name) or name[-1:]
    if ending in _UNDECODED or _mime_types().get(ending, "").startswith("image/"):
        return f"{ending}, which Pillow cannot decode"
    return ending


def _content_left_out(path, name):
    if is_image_content(path):
        return None
    return _ending(name) or "no ending and no image"


def is_image_content(path):
    """Whether a file begins as an image of `raster_formats` does; only its header is read."""
    try:
        with open(path, "rb") as file:
            prefix = file.read(16)
            file.seek(0)
            formats = [name for name in raster_formats() if _accepts(name, prefix)]
            if not formats:
                return False
            with Image.open(file, formats=formats):
                return True
    except Exception:  # noqa: BLE001 - whatever a decoder says of a file that is none of its own
        return False


def _accepts(name, prefix):
    accept = Image.OPEN[name][1]
    answer = accept is not None and accept(prefix)
    return bool(answer) and not isinstance(answer, str)  # a str says that a codec is missing


class _Walker:
    """Reads folders with a memory of the files and folders that it has seen."""

    def __init__(self):
        self.paths, self.left_out = {}, {}
        self._files, self._folders = {}, set()  # (device, inode) of each file with its path; of each folder
        self._reserved = []  # real paths of the folders that have a key
        self._links = []  # (key, path): links are followed once everything else is known

    def reserve(self, key, folder):
        real = os.path.realpath(folder)
        if self._overlaps(real):
            self._leave_out(FOLDER_LINK, folder)
            return
        self._reserved.append(real)
        self.paths[key] = []

    def read(self, key, folder):
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            try:
                found = os.stat(folder)
                with os.scandir(folder) as scanned:
                    entries = sorted(scanned, key=lambda entry: entry.name)
            except OSError:
                self._leave_out(NO_ACCESS, folder)
                continue
            self._folders.add((found.st_dev, found.st_ino))
            for entry in entries:
                self._entry(key, entry, found.st_dev, waiting)

    def follow_links(self):
        while self._links:
            waiting, self._links = sorted(self._links, key=lambda link: link[1]), []
            for key, path in waiting:
                self._follow(key, path)

    def _entry(self, key, entry, device, waiting):
        if entry.is_symlink():
            self._links.append((key, entry.path))
        elif entry.is_dir():
            reason = folder_left_out(entry.name)
            if reason is None:
                waiting.append(entry.path)
            else:
                self._leave_out(reason, entry.path)
        elif entry.is_file():
            self._file(key, entry.path, entry.name, (device, entry.inode()))
        else:
            self._leave_out(NO_FILE, entry.path)

    def _follow(self, key, path):
        name = os.path.basename(path)
        try:
            found = os.stat(path)
        except OSError:  # its target is missing, or it leads to itself
            self._leave_out(BROKEN_LINK, path)
            return
        if stat.S_ISREG(found.st_mode):
            self._file(key, path, name, (found.st_dev, found.st_ino))
        elif not stat.S_ISDIR(found.st_mode):
            self._leave_out(NO_FILE, path)
        elif (reason := folder_left_out(name)) is not None:
            self._leave_out(reason, path)
        elif (found.st_dev, found.st_ino) in self._folders or self._overlaps(os.path.realpath(path)):
            self._leave_out(FOLDER_LINK, path)
        else:
            self.read(key, path)

    def _file(self, key, path, name, identity):
        reason = _name_left_out(name) if is_image_name(name) is not None else _content_left_out(path, name)
        if reason is None and self._is_known(identity, path):
            reason = SAME_FILE
        if reason is not None:
            self._leave_out(reason, path)
            return
        self._files[identity] = path
        self.paths[key].append(path)

    def _is_known(self, identity, path):
        """Whether the file has another path. Some network file systems give every file the same inode."""
        if identity not in self._files:
            return False
        other = self._files[identity]
        return os.stat(path).st_nlink > 1 or os.path.realpath(path) == os.path.realpath(other)

    def _overlaps(self, real):
        return any(_holds(real, other) or _holds(other, real) for other in self._reserved)

    def _leave_out(self, reason, path):
        self.left_out.setdefault(reason, []).append(path)


def _holds(folder, path):
    return path == folder or path.startswith(os.path.join(folder, ""))
