"""Decodes images on all cores: by threads, or on many cores by processes.

Pillow releases the interpreter lock while it decodes and resizes, but about a fifth of the time of an image is Python:
from some five cores on, threads of one process wait for each other. A `DecodeProcess` answers one thread. Requests and
answers are a line of JSON and raw bytes, so that nothing is unpickled. Shape letters: H W C pixels.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import threading

import numpy as np

from vitcross.cores import num_cores
from vitcross.data.preprocess import read_view
from vitcross.data.problems import UnreadableImage
from vitcross.data.sources.decode import EncodedImage

_CORES_FOR_THREADS = 4  # on more of them, processes decode


class DecodePool:
    """The threads that read images, each with a process of its own where `ImageOptions.num_workers` asks for them."""

    def __init__(self, options):
        workers = options.num_workers
        if workers is None:
            workers = num_cores() if num_cores() > _CORES_FOR_THREADS else 0
        self._options, self._has_processes = options, workers > 0
        self._size = workers or num_cores()
        self._threads = concurrent.futures.ThreadPoolExecutor(self._size, thread_name_prefix="decode")
        self._own = threading.local()

    def for_each(self, work, rows):
        """Calls `work` on parts of `rows`, a sequence, one for each thread. Raises what a call raised."""
        shares = [rows[k :: self._size] for k in range(self._size)]
        for _ in self._threads.map(work, [share for share in shares if share]):
            pass

    def process(self):
        """The `DecodeProcess` of the thread that asks, started when it is first asked for; None without processes."""
        if not self._has_processes:
            return None
        if not hasattr(self._own, "process"):
            self._own.process = DecodeProcess(self._options)
        return self._own.process


class DecodeProcess:
    """A process that decodes images, and ends with the process that started it. To be used by one thread.

    Args:
        options: `ImageOptions`.
    """

    def __init__(self, options):
        names = ("image_size", "channels", "value_range", "resize", "evaluation_crop")
        settings = {name: getattr(options, name) for name in names}
        settings["augmentation"] = {"random_resized_crop": options.augmentation.random_resized_crop}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vitcross.data.decode_pool", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # an interrupt from the keyboard is for the run, which saves first
        )
        self._shape = (*options.image_size, options.channels)

    def read_view(self, content, *, name, kind, uniforms):
        """`(pixels, view)` as `preprocess.read_view`, of a file or of bytes; `name` as in `EncodedImage`."""
        encoded = content if isinstance(content, bytes) else b""
        request = {
            "path": None if encoded else os.fspath(content),
            "bytes": len(encoded),
            "name": name,
            "kind": kind,
            "uniforms": None if uniforms is None else np.asarray(uniforms, np.float64).tolist(),
        }
        try:
            _send(self._process.stdin, request, encoded)
            answer = _receive(self._process.stdout)
            if "problem" in answer:
                raise UnreadableImage(name, answer["problem"])
            pixels = np.empty(self._shape, np.uint8)
            _fill(self._process.stdout, memoryview(pixels).cast("B"))
        except (EOFError, BrokenPipeError):
            status = self._process.wait()
            raise RuntimeError(
                f"a process that decodes images ended with status {status} at {name}; data.num_workers=0 decodes in "
                "this process"
            ) from None
        return pixels, tuple(answer["view"])


def serve(options, requests, answers):
    """Answers requests of `DecodeProcess.read_view` until there are no more."""
    while True:
        try:
            request = _receive(requests)
        except EOFError:
            return
        content = request["path"] or requests.read(request["bytes"])
        uniforms = request["uniforms"] and np.array(request["uniforms"], np.float32)
        try:
            image = EncodedImage(content, name=request["name"])
            pixels, view = read_view(image, kind=request["kind"], options=options, uniforms=uniforms)
        except UnreadableImage as problem:
            _send(answers, {"problem": problem.reason}, b"")
        else:
            _send(answers, {"view": view}, pixels.tobytes())


def _send(stream, message, content):
    stream.write(json.dumps(message).encode() + b"\n" + content)
    stream.flush()


def _receive(stream):
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return json.loads(line)


def _fill(stream, memory):
    filled = 0
    while filled < len(memory):
        count = stream.readinto(memory[filled:])
        if not count:
            raise EOFError
        filled += count


def main():
    from vitcross.options.data import ImageOptions

    serve(ImageOptions(**json.loads(sys.argv[1])), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
