"""Sets up the process of a command: its console, a quiet start of TensorFlow, errors as messages, exit status."""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from vitcross import atomic_files
from vitcross.terminal import PlainLines, printable_lines
from vitcross.training import out_of_memory


def fail(message, status=2):
    """One message on standard error, then exit."""
    print(f"vitcross: {printable_lines(message, sys.stderr.encoding)}", file=sys.stderr)
    raise SystemExit(status)


def configure_logging():
    """Show what the package logs (preparing data, unreadable images) as plain lines among what is printed."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(PlainLines())
    logger = logging.getLogger("vitcross")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


@contextlib.contextmanager
def quiet_start():
    """Keep what native code writes to standard error while TensorFlow starts from the user, unless it fails.

    It is a page of notes that looks like errors. Where there is an NVIDIA device they are shown: then they say why a
    GPU is not used.
    """
    if Path("/dev/nvidiactl").exists():
        yield
        return
    # Later notes (such as costs that it cannot estimate) are warnings; errors are still shown.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def exit_after(main, *arguments):
    """Runs the main function of a script and ends the process with the status that it returns or exits with.

    The interpreter is not finalized. Where an error leaves an iterator of `tf.data` open, its threads wait for the
    interpreter to read on, and the interpreter for its threads: the process would stay forever.
    """
    try:
        status = main(*arguments) or 0
    except SystemExit as leaving:
        status = leaving.code or 0
        if not isinstance(status, int):  # a message
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads the pipe any more
            stream.flush()
    os._exit(status)


@contextlib.contextmanager
def report_errors(folder):
    """Turn an exception into one message and exit status 1; the traceback goes to `traceback.txt` in `folder`.

    A signal that nobody handled exits with 128 + its number.
    """
    try:
        yield
    except Exception as error:
        if status := getattr(error, "exit_status", None):  # nothing has begun
            fail(str(error), status)
        error = out_of_memory.as_out_of_memory(error)
        where = f"The traceback is in {folder}/traceback.txt"
        try:
            atomic_files.write_text(Path(folder) / "traceback.txt", f"{printable_lines(traceback.format_exc())}\n")
        except OSError:  # the disk that is full may be the reason
            where = traceback.format_exc()
        text = "\n".join([*(str(error).strip().splitlines()[:12] or ["no message"]), *getattr(error, "__notes__", ())])
        # Our own errors are sentences; those of others need their type.
        kind = "" if isinstance(error, ValueError | OSError | RuntimeError) else f"{type(error).__name__}: "
        fail(f"{kind}{text}\n{where}", status=1)
    except BaseException as interruption:
        number = getattr(
            interruption, "signal_number", signal.SIGINT if isinstance(interruption, KeyboardInterrupt) else None
        )
        if number is None:
            raise
        notes = [f". {note}" for note in getattr(interruption, "__notes__", ())]
        fail(f"stopped by {signal.Signals(number).name}{''.join(notes)}", status=128 + number)
