"""Finds the image files that a table names: as written, or in another form of the same name.

Tables are written on other systems and by other programs: `images\\a.jpg`, accents in one piece or in two (NFC and NFD
of Unicode), `IMG_1.JPG` for `img_1.jpg`, or an id without the file's ending.
"""

import os
import unicodedata
from pathlib import PureWindowsPath

from vitcross.data.sources.image_rules import image_endings, reason_left_out
from vitcross.data.sources.lost_lines import MISSING_IMAGE

BACKSLASHES, UNICODE, CASE = "with backslashes", "in another Unicode form", "in other upper and lower case"
ENDING = "without the ending of the file"
ELSEWHERE = "by a path of another place"
NEVER_IMAGE = "never an image"
_FOLDERS = 100  # subfolders that are searched for a missing file


class NamedFiles:
    """The files of a folder by the names that a table has for them.

    Args:
        folder: path that the names are relative to.

    Attributes:
        forms: dict of a form of names, e.g. `with backslashes`, to the names that were found only in it.
    """

    def __init__(self, folder):
        self.folder = os.fspath(folder)
        self.forms = {}
        self._listings = {}
        self._found, self._never = {}, {}

    def find(self, name):
        """The path of the file that is called `name` (str, not empty), or None."""
        if name not in self._found:
            path, form = self._search(name)
            if path is not None and form is not None:
                self.forms.setdefault(form, []).append(name)
            self._found[name] = path
        return self._found[name]

    def why_missing(self, name):
        """What to say of a name that `find` does not find."""
        if "://" in name:
            return f"{name} is an address: images are read from files"
        named = self._named_alike(name)
        if len(named) > 1:
            return f"{name} may be any of {', '.join(named[:3])}"
        path = os.path.normpath(os.path.join(self.folder, name))
        return f"no such file: {path}{self._elsewhere(name)}"

    def why_no_image(self, path):
        """Why a file is never an image (`image_rules`), or None."""
        if path not in self._never:
            inside = path.startswith(os.path.join(self.folder, ""))
            self._never[path] = reason_left_out(path, base=self.folder if inside else os.path.dirname(path))
        return self._never[path]

    def notes(self):
        """Which forms of names were used: a list of str."""
        return [f"{len(names)} images are named {form} ({names[0]})" for form, names in self.forms.items()]

    def _search(self, name):
        found = self._search_as_written(name)
        if found[0] is not None or not (os.path.isabs(name) or PureWindowsPath(name).is_absolute()):
            return found
        # The path of another machine: the longest end of it that is here.
        parts = PureWindowsPath(name).parts[1:]
        for start in range(1, len(parts)):
            path = os.path.join(self.folder, *parts[start:])
            if os.path.isfile(path):
                return path, ELSEWHERE
        return None, None

    def _search_as_written(self, name):
        path = os.path.normpath(os.path.join(self.folder, name))
        if os.path.isfile(path):
            return path, None
        form = None
        if "\\" in name:
            name, form = name.replace("\\", "/"), BACKSLASHES
            path = os.path.normpath(os.path.join(self.folder, name))
            if os.path.isfile(path):
                return path, form
        folder, *parts = self._steps(path)
        for k, part in enumerate(parts):
            alike, found_form = self._alike(folder, part, is_last=k == len(parts) - 1)
            if len(alike) != 1:
                return None, None
            folder, form = os.path.join(folder, alike[0]), found_form or form
        return (folder, form) if os.path.isfile(folder) else (None, None)

    def _steps(self, path):
        """The part of a path that exists as written, and the names below it."""
        parts = []
        while not os.path.isdir(path):
            path, part = os.path.split(path)
            parts.insert(0, part)
        return [path, *parts]

    def _alike(self, folder, name, *, is_last):
        """Names in a folder that mean `name`, and the form; several are ambiguous."""
        names = self._listing(folder)
        for form, key in ((UNICODE, _composed), (CASE, _folded)):
            if found := names[form].get(key(name)):
                return found, form
        return (names[ENDING].get(_folded(name), []), ENDING) if is_last else ([], None)

    def _named_alike(self, name):
        folder, *parts = self._steps(os.path.normpath(os.path.join(self.folder, name.replace("\\", "/"))))
        return self._alike(folder, parts[0], is_last=True)[0] if len(parts) == 1 else []

    def _listing(self, folder):
        """dict of form to a dict of the name in this form to the names of files."""
        if folder not in self._listings:
            listing = {UNICODE: {}, CASE: {}, ENDING: {}}
            for name in _names_in(folder):
                listing[UNICODE].setdefault(_composed(name), []).append(name)
                listing[CASE].setdefault(_folded(name), []).append(name)
                stem, ending = os.path.splitext(name)
                if ending.lower() in image_endings() and not name.startswith("."):
                    listing[ENDING].setdefault(_folded(stem), []).append(name)
            self._listings[folder] = listing
        return self._listings[folder]

    def _elsewhere(self, name):
        """A hint at a folder below this one that has the file."""
        try:
            with os.scandir(self.folder) as entries:
                folders = sorted(entry.path for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except OSError:
            return ""
        for folder in folders[:_FOLDERS]:
            if NamedFiles(folder)._search(name)[0] is not None:
                return f" (it is in {folder}: type data.root={folder})"
        return ""


def find_image(files, lost, number, name, column, missing):
    """The path of a row's image, or None: recorded in `lost`, and in `missing` if there is no such file."""
    path = files.find(name)
    if path is None:
        reason = files.why_missing(name) if not missing else f"no such file: {name}"
        missing[os.path.normpath(os.path.join(files.folder, name))] = None
        lost.add(MISSING_IMAGE, number, key=column, detail=reason)
        return None
    never = files.why_no_image(path)
    if never is not None:
        lost.add(NEVER_IMAGE, number, key=column, detail=f"{name} is left out: {never}")
        return None
    return path


def _names_in(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:  # a file (`a.png/b.png`), or no access
        return []


def _composed(name):
    return unicodedata.normalize("NFC", name)


def _folded(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
