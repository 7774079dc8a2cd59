"""Renders scenes in child processes, `python -m vitcross.data.scenes.workers`, which communicate over pipes.

Unlike `multiprocessing`, plain child processes do not import the calling program again, do not load or fork TensorFlow,
and work from a notebook. A child answers each line `split start stop` with one frame: uint32 length, a JSON list of
fields, a newline, and the PNG bytes of the scenes one after the other.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import queue
import struct
import subprocess
import sys

from vitcross.cores import num_cores

_CHUNK = 200
_BYTES_AHEAD = 64 * 2**20
_LENGTH = struct.Struct("<I")


def render_scenes(options, *, counts, processes=None):
    """Yields all scenes of all splits in order, independent of the number of processes.

    Args:
        options: `SceneOptions`.
        counts: dict of split to number of scenes.
        processes: int, or None for the number of processors.

    Yields:
        split, index, dict of `png` bytes, `label` int, `box` (4 floats), `num_objects`, `caption`, `scene` (JSON text).

    Raises:
        RuntimeError: if a child process ends early.
    """
    chunks = [
        (split, start, min(start + _CHUNK, count))
        for split, count in counts.items()
        for start in range(0, count, _CHUNK)
    ]
    processes = min(processes or num_cores(), len(chunks))
    # Rendering continues while the caller writes a finished split to disk, within a limit of memory.
    height, width = options.image_size
    ahead = max(2 * processes, _BYTES_AHEAD // (_CHUNK * 3 * height * width))
    with contextlib.ExitStack() as stack:
        idle = queue.SimpleQueue()
        for _ in range(processes):
            idle.put(stack.enter_context(_child(options)))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(processes))

        def ask(split, start, stop):
            child = idle.get()
            try:
                return _ask(child, split, start, stop)
            finally:
                idle.put(child)

        waiting = collections.deque()
        stack.callback(lambda: [future.cancel() for _, _, future in waiting])
        for chunk in itertools.chain(chunks, itertools.repeat(None)):
            if chunk is not None:
                waiting.append((*chunk[:2], pool.submit(ask, *chunk)))
            elif not waiting:
                return
            if chunk is None or len(waiting) > ahead:
                split, start, rendered = waiting.popleft()
                for index, row in enumerate(rendered.result(), start):
                    yield split, index, row


@contextlib.contextmanager
def _child(options):
    root = str(pathlib.Path(__file__).parents[3])
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(options))]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def _ask(child, split, start, stop):
    try:
        child.stdin.write(f"{split} {start} {stop}\n".encode())
        child.stdin.flush()
        size = _LENGTH.unpack(child.stdout.read(_LENGTH.size))[0]
        frame = child.stdout.read(size)
        head, _, images = frame.partition(b"\n")
        rows = json.loads(head)
    except (OSError, struct.error, ValueError) as error:
        raise RuntimeError(f"A process that renders scenes ended early (its messages are above): {error}") from error
    position = 0
    for row in rows:
        size = row.pop("size")
        row["png"] = images[position : position + size]
        position += size
    return rows


def _serve(options):
    from vitcross.data.scenes.scene import render_scene
    from vitcross.png import stored_png

    for line in sys.stdin:
        split, start, stop = line.split()
        rows, images = [], []
        for index in range(int(start), int(stop)):
            scene = render_scene(options, split=split, index=index)
            images.append(stored_png(scene.image))
            row = {"size": len(images[-1]), "label": scene.label, "box": scene.objects[scene.target].box}
            rows.append(row | {"num_objects": len(scene.objects), "caption": scene.caption, "scene": scene.to_json()})
        frame = b"\n".join([json.dumps(rows).encode(), b"".join(images)])
        sys.stdout.buffer.write(_LENGTH.pack(len(frame)) + frame)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    from vitcross.data.scenes.scene import SceneOptions

    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        _serve(SceneOptions(**json.loads(sys.argv[1])))
