"""Checks the boxes and masks of a table of labels against their images, and finds what the numbers of a box are."""

import numpy as np

from vitcross.data.problems import UnreadableImage
from vitcross.data.sources import boxes as box_rules
from vitcross.data.sources.decode import EncodedImage
from vitcross.data.sources.mask_files import mask_size

BAD_BOX, BAD_MASK = "box that cannot be used", "mask that cannot be used"
_CHECKED = 500  # boxes that are held against the sizes of their images
_ASPECT = 0.02  # relative difference of the forms of an image and its mask, from rounding


def check_boxes(images, table, *, named, typed):
    """(format, units) of the boxes of a table; images whose boxes do not fit lose them, which is recorded.

    Args:
        images: list of `labels_file.LabeledImage`.
        table: `Table` that they were read from.
        named: the format that the names of the columns say, or None.
        typed: the format that the user says, or None.

    Raises:
        ValueError: if the format cannot be found or does not fit.
    """
    boxes = [(image, box) for image in images for _, box in image.boxes]
    if not boxes:
        return None, "pixels"
    units = "shares" if max(max(box) for _, box in boxes) <= 1 else "pixels"
    step = -(-len(boxes) // _CHECKED)
    sample = [
        (image, box, (1.0, 1.0) if units == "shares" else image_size_of(image.path)) for image, box in boxes[::step]
    ]
    sample = [row for row in sample if row[2] is not None]
    numbers, sizes = [box for _, box, _ in sample], [size for *_, size in sample]
    box_format = typed or named
    if box_format is None and sample:
        fitting = box_rules.find_format(numbers, sizes)
        if len(fitting) != 1:
            first, box, (height, width) = sample[0]
            raise ValueError(
                f"data.box_format must say what the numbers of a box are ({', '.join(box_rules.FORMATS)}): "
                f"{' and '.join(fitting) + ' fit' if fitting else 'neither xyxy nor xywh fits'} the images of "
                f"{table.file}. Received: null; {table.lost.unit} {first.number} has {list(box)}, its image is "
                f"{width:g} wide and {height:g} high"
            )
        box_format = fitting[0]
    box_format = box_format or box_rules.FORMATS[0]  # no image can be read
    wrong = np.flatnonzero(~box_rules.fitting(numbers, sizes, box_format)) if sample else []
    if len(wrong) > max(1, len(sample) // 20):
        first, box, (height, width) = sample[wrong[0]]
        raise ValueError(
            f"data.box_format={box_format} must fit the images of {table.file}: {len(wrong)} of {len(sample)} boxes do "
            f"not, e.g. {list(box)} in {table.lost.unit} {first.number}, whose image is {width:g} wide and {height:g} "
            "high"
        )
    for position in wrong:
        image, box, _ = sample[position]
        detail = f"{list(box)} does not lie in the image (left out)"
        table.lost.add(BAD_BOX, image.number, key="box", detail=detail)
        image.boxes = [row for row in image.boxes if row[1] is not box]
    number = sum(bool(image.boxes) for image in images)
    table.notes.append(
        f"{table.file.name}: {number:,} of {len(images):,} images have a box, read as {box_format} in "
        f"{'pixels' if units == 'pixels' else 'shares of the image'} (data.box_format)"
    )
    return box_format, units


def check_masks(images, table):
    """Images whose masks cannot be read or have another form lose them, which is recorded; of many masks a part is
    checked."""
    masked = [image for image in images if image.mask is not None]
    for image in masked[:: -(-len(masked) // _CHECKED) or 1]:
        size, wanted = mask_size(image.mask), image_size_of(image.path)
        if size is None:
            detail = f"{image.mask} cannot be read"
        elif wanted is not None and abs(size[0] * wanted[1] / (size[1] * wanted[0]) - 1) > _ASPECT:
            detail = f"{image.mask} is {size[1]} x {size[0]} pixels, its image {wanted[1]} x {wanted[0]}"
        else:
            continue
        table.lost.add(BAD_MASK, image.number, key="mask", detail=f"{detail} (left out)")
        image.mask = None
    if masked:
        number = sum(image.mask is not None for image in images)
        table.notes.append(f"{table.file.name}: {number:,} of {len(images):,} images have a mask")


def image_size_of(path):
    """(height, width) of an image, or None if it cannot be read."""
    try:
        return EncodedImage(path, name=path).size
    except UnreadableImage:
        return None
