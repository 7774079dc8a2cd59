"""Finds fonts that have the letters of a text, so that names in any language are drawn.

Pillow's own font has basic Latin letters. For others the fonts of the system are searched, sans-serif ones first.
Hebrew and Arabic run from right to left where Pillow has Raqm, which its wheels have.
"""

from __future__ import annotations

import functools
import os
import sys
import unicodedata
from pathlib import Path

from PIL import ImageFont

from vitcross.pages.direction import LEFT_TO_RIGHT

OWN = ""  # stands for Pillow's own font among the paths of fonts
_PREFERRED = ("dejavusans", "notosans", "arial", "segoeui", "freesans", "liberationsans", "droidsans")
_VARIANTS = ("bold", "italic", "oblique", "mono", "condensed", "serif", "light", "thin", "black")
_PROBE = 16  # pixels, the size at which glyphs are compared
_UNKNOWN = "\uffff"  # no character: drawn as a font draws what it lacks


@functools.lru_cache(maxsize=256)
def font(size: int, path: str = OWN) -> ImageFont.FreeTypeFont:
    """A font by the path of its file. Raises OSError where the file is not a scalable font."""
    return ImageFont.load_default(size) if path == OWN else ImageFont.truetype(path, size)


@functools.cache
def system_fonts() -> tuple[str, ...]:
    """Paths of the installed fonts, the preferred ones first."""
    files = {
        path for folder in _folders() for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf", ".ttc")
    }
    return tuple(str(path) for path in sorted(files, key=_preference))


@functools.lru_cache(maxsize=1024)
def runs(text: str) -> tuple[tuple[str, str], ...]:
    """One line as `(path of a font, part of the text)`, from left to right; one font for all of it where one has it."""
    fonts = [_font_of(character) for character in text]
    for path in dict.fromkeys([OWN, *filter(None, fonts)]):
        if all(_has(path, character) for character in text):
            return ((path, text),)
    parts: list[list[str]] = []
    for character, path in zip(text, fonts, strict=True):
        if character == LEFT_TO_RIGHT:  # not every font has it, and the parts are in order
            continue
        if parts and (path is None or _has(parts[-1][0], character)):
            parts[-1][1] += character
        else:
            parts.append([path or OWN, character])
    return tuple((path, part) for path, part in (reversed(parts) if _runs_left(text) else parts))


def drawable(text: str) -> str:
    """The text with the letters that no font has replaced by the same ones without accents, where these have a font.

    Other letters that no font has stay as they are and are drawn as crossed boxes.
    """
    return text if text.isascii() else "".join(map(_without_accents_if_needed, text))


def missing_scripts(text: str) -> frozenset[str]:
    """The scripts (`CJK`, `HANGUL`, ...) of the letters of a text that no font has."""
    return frozenset(_script(character) for character in text if _font_of(character) is None)


def _without_accents_if_needed(character: str) -> str:
    if _font_of(character) is not None:
        return character
    letters = [one for one in unicodedata.normalize("NFKD", character) if not unicodedata.combining(one)]
    return "".join(letters) if letters and all(_font_of(one) is not None for one in letters) else character


def _font_of(character: str) -> str | None:
    """The path of a font that has a character; None where there is none."""
    if _has(OWN, character):
        return OWN
    path = _font_of_script(_script(character), character)
    if path is None or _has(path, character):
        return path  # without a font of a script its other letters are not searched for
    return next((other for other in system_fonts() if _has(other, character)), None)


_found: dict[str, str | None] = {}


def _font_of_script(script: str, sample: str) -> str | None:
    if script not in _found:
        _found[script] = next((path for path in system_fonts() if _has(path, sample)), None)
    return _found[script]


@functools.lru_cache(maxsize=65536)
def _has(path: str, character: str) -> bool:
    """Whether a font has a glyph of its own for a character; marks and spaces are part of what they stand beside."""
    if unicodedata.category(character)[0] in "MZC":
        return True
    try:
        own, unknown = (bytes(font(_PROBE, path).getmask(one)) for one in (character, _UNKNOWN))
    except OSError:  # a bitmap font, or a damaged file
        return False
    return own != unknown and any(own)


def _script(character: str) -> str:
    """The first word of a character's name, which is that of its script: `GREEK`, `CJK`, `HANGUL`."""
    return unicodedata.name(character, "UNKNOWN").split(" ")[0]


def _runs_left(text: str) -> bool:
    """Whether the first letter with a direction runs from right to left."""
    directions = (unicodedata.bidirectional(character) for character in text)
    return next((one for one in directions if one in ("L", "R", "AL")), "L") != "L"


def _preference(path: Path):
    name = path.stem.lower().replace("-", "").replace("_", "")
    rank = next((k for k, start in enumerate(_PREFERRED) if name.startswith(start)), len(_PREFERRED))
    return any(word in name for word in _VARIANTS), rank, name, str(path)


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"))
        return [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts", local / "Microsoft/Windows/Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]
