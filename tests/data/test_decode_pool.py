"""Tests of decoding in processes: the same bytes as in threads, and clear messages when a process ends."""

import os
import signal

import numpy as np
import pytest

from tests.data.images import encode, gradient
from vitcross.data.decode_pool import DecodePool, DecodeProcess
from vitcross.data.problems import TooManyUnreadable, UnreadableImages
from vitcross.data.reader import DecodingReader
from vitcross.data.sources.image_files import ImageFiles
from vitcross.options.data import ImageOptions


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image files, Ünïcode")
    random = np.random.default_rng(0)
    contents = [encode(gradient(31 + k, 53 - k), "JPEG", quality=90) for k in range(5)]
    contents += [b"broken", encode(random.integers(0, 4096, (17, 29)).astype(np.uint16))]
    paths = []
    for k, content in enumerate(contents):
        path = folder / f"{k}.png"
        path.write_bytes(content)
        paths.append(str(path))
    return paths


def reader(paths, *, workers, kind, max_unreadable=1):
    options = ImageOptions(
        image_size=(13, 11),
        num_workers=workers,
        value_range=[0, 4095],
        resize="pad",
        augmentation={"random_resized_crop": 0.3},
    )
    source = ImageFiles(paths, name="files", channels=3)
    return DecodingReader(source, options=options, unreadable=UnreadableImages(max_unreadable), view=kind)


@pytest.mark.parametrize("kind", ["evaluation", "random"])
def test_processes_give_the_bytes_of_threads(files, kind):
    uniforms = np.random.default_rng(1).random((14, 48)).astype(np.float32)
    given = {"indices": np.arange(14) % 7, "uniforms": uniforms, "substitute": True}
    by_threads, by_processes = (reader(files, workers=workers, kind=kind).read(**given) for workers in (0, 2))
    assert by_threads.keys() == by_processes.keys() and len(np.unique(by_threads["images"])) > 50
    for key, values in by_threads.items():
        np.testing.assert_array_equal(values, by_processes[key], err_msg=key)


def test_unreadable_images_are_named_and_counted_by_processes(files):
    found = reader(files, workers=2, kind="evaluation")
    assert found.read([4, 5])["valid"].tolist() == [True, False]
    with pytest.raises(TooManyUnreadable, match="5.png .no image in a known format"):
        reader(files, workers=2, kind="evaluation", max_unreadable=0).read([4, 5])


def test_bytes_are_decoded_as_files_are(files):
    process = DecodeProcess(ImageOptions(image_size=(7, 5)))
    with open(files[0], "rb") as file:
        content = file.read()
    given = {"name": "x", "kind": "evaluation", "uniforms": None}
    pixels, view = process.read_view(files[0], **given)
    again, _ = process.read_view(content, **given)
    np.testing.assert_array_equal(pixels, again)
    assert pixels.shape == (7, 5, 3) and len(view) == 4


def test_a_process_that_was_killed_is_told_with_what_to_do(files):
    process = DecodeProcess(ImageOptions(image_size=(7, 5)))
    os.kill(process._process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="status -9 at x.png; data.num_workers=0"):
        process.read_view(files[0], name="x.png", kind="evaluation", uniforms=None)


def test_every_row_is_read_once_by_as_many_threads_as_asked(files):
    seen = []
    DecodePool(ImageOptions(num_workers=3)).for_each(seen.extend, range(11))
    assert sorted(seen) == list(range(11))
