"""Writes the sheets, the record and the viewer of captured maps into a folder."""

from pathlib import Path

from vitcross import atomic_files, metric_keys
from vitcross.attention_maps.sheets.head_sheet import head_sheet
from vitcross.attention_maps.sheets.media import AttentionMedia, file_name
from vitcross.attention_maps.sheets.sheets import Style, sheets
from vitcross.attention_maps.sheets.trust_sheet import trust_sheet
from vitcross.attention_maps.viewer import Viewer

RECORD_MEGABYTES = 64  # of weights in one record.npz, before compression
VIEWER = "viewer.html"
COARSE_STEPS = 8  # of each curve of the check of maps, unless it is exact


def write_maps(found, folder, *, title, style=None):
    """Write the files of a `vitcross.attention_maps.trust.checks.MapEvaluation`, with trust as far as it was measured.

    Args:
        title: str, what the viewer shows, in its heading.

    Returns:
        AttentionMedia.
    """
    folder, style = Path(folder), style or Style()
    images = sheets(found.record, style, found.note)
    if found.evaluation is not None:
        images[metric_keys.TRUST_SHEET] = trust_sheet(found.evaluation)
        images[metric_keys.TRUST_BLURRED] = trust_sheet(found.evaluation, blurred=True)
        images[metric_keys.HEAD_IMPORTANCE] = head_sheet(found.evaluation.heads, style.color_map)
    for key, sheet in images.items():
        atomic_files.write_bytes(folder / file_name(key), sheet.png)
    found.record.within(RECORD_MEGABYTES).save(folder / "record.npz")
    viewer = Viewer(title=title, color_map=style.color_map)
    viewer.add(found.record)
    page = viewer.html()
    atomic_files.write_text(folder / VIEWER, page)
    return AttentionMedia(record=found.record, sheets=images, viewer=page, color_map=style.color_map)
