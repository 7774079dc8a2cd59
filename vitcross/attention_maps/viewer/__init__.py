"""The interactive viewer: from records to one self-contained HTML page.

collector.py   the captures of a run, collected while it trains; `write_viewer`
capture.py     what is kept of one capture: read-out rows, facts, words
tables.py      from a record to the tables that can be shown
rows.py        arrays as bytes
images.py      images as data URIs
budget.py      what fits into the page's size, and what is left out
payload.py     all of it as JSON
page.html      the page around the JSON, with the scripts and the style of `assets/`
"""

from vitcross.attention_maps.viewer.collector import Viewer, write_viewer

__all__ = ["Viewer", "write_viewer"]
