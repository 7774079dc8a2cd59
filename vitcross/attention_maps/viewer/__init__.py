"""Builds the interactive viewer, one self-contained HTML page, from records.

`collector.py` is the entry; `page.html` and `assets/` are the page around the JSON of `payload.py`.
"""

from vitcross.attention_maps.viewer.collector import Viewer, write_viewer

__all__ = ["Viewer", "write_viewer"]
