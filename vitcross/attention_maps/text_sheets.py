"""The sheets that an image-text model has besides those of its image tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitcross.attention_maps.media import Sheet
    from vitcross.attention_maps.painter import Style
    from vitcross.attention_maps.text_record import ImageTextRecord


def text_sheets(record: ImageTextRecord, style: Style, note: str = "") -> dict[str, Sheet]:
    """The sheets of the text, by key."""
    return {}
