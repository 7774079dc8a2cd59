"""Tables as CSV files."""

import csv
import io


def csv_text(columns, lines):
    """A table as the text of a CSV file; numbers in [0, 1] and losses with six decimals.

    It is data for programs: names are quoted, never changed, so that they find the file and the class. To a spreadsheet
    a name that begins with `=` is a formula: import the columns as text.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in line] for line in lines)
    return text.getvalue()
