"""Writes tables as the text of CSV files."""

import csv
import io


def csv_text(columns, lines):
    """A table as the text of a CSV file; numbers in [0, 1] and losses with six decimals.

    Names are quoted but never changed, so that programs find the file and the class. A spreadsheet takes a name that
    begins with `=` for a formula: import the columns as text.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in line] for line in lines)
    return text.getvalue()
