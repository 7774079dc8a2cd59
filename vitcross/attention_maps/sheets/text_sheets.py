"""The sheets that an image-text model has besides those of its image tower: which of them, and under which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitcross.attention_maps.sheets.matrix_sheet import matrix_sheet
from vitcross.attention_maps.sheets.text_sheet import text_sheet
from vitcross.attention_maps.sheets.word_sheets import relevance_sheet, similarity_sheet, words_sheet

if TYPE_CHECKING:
    from vitcross.attention_maps.records.text_record import ImageTextRecord
    from vitcross.attention_maps.sheets.media import Sheet
    from vitcross.attention_maps.sheets.sheet_layout import Style


def text_sheets(record: ImageTextRecord, style: Style, note: str = "") -> dict[str, Sheet]:
    """The sheets of a text tower: cross-attention where it has some, what counts for each word where that was
    computed, similarity for a dual encoder, and what the pooling of the text reads where it has one.

    Args:
        record: ImageTextRecord.
        style: Style.
        note: str, what is known of the grounding of words.
    """
    found = {}
    if record.cross_attention:
        found["attention/cross/words"] = words_sheet(record, style, note)
        found["attention/cross/matrix"] = matrix_sheet(record, style, note)
    if record.token_maps:
        found["attention/cross/relevance"] = relevance_sheet(record, style)
    if record.word_similarity is not None:
        found["attention/cross/similarity"] = similarity_sheet(record, style, note)
    if record.text_pooling is not None:
        found["attention/self/text"] = text_sheet(record, style)
    return found
