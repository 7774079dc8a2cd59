"""What a user types and reads before TensorFlow is there: checks, the header, the folder of the run. Imports nothing
heavy.
"""

import contextlib
import difflib
import json
import logging
import os
import re
import signal
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from vitcross import atomic_files, go_on, out_of_memory, run_folder
from vitcross.config_checks import check_folder
from vitcross.config_combinations import check_own_text, image_tower, model_sizes, text_tower
from vitcross.config_hydra import check_flags, check_typed
from vitcross.data.find_pictures import find_pictures
from vitcross.help_page import help_page
from vitcross.init_from import check_init_from
from vitcross.printable import PlainLines, printable_lines, printable_rows

MULTIRUN_FLAGS = ("-m", "--multirun")


def fail(message, status=2):
    """One message on standard error, then exit."""
    print(f"vitcross: {printable_lines(message, sys.stderr.encoding)}", file=sys.stderr)
    raise SystemExit(status)


def split_arguments(arguments):
    """`(overrides, flags)`: what sets a key, and what starts with a dash; exits with status 2 for what could run other
    code than this program's."""
    overrides, flags = [a for a in arguments if not a.startswith("-")], [a for a in arguments if a.startswith("-")]
    try:
        check_flags(flags)
        check_typed(overrides)
    except ValueError as error:
        fail(str(error))
    return overrides, flags


def is_sweep(arguments):
    """Whether `-m` was typed, and not help asked for."""
    flags = set(split_arguments(arguments)[1])
    return bool(flags & set(MULTIRUN_FLAGS)) and not flags & {"-h", "--help"}


def claim_folder(parent, now=None):
    """Make a new folder `parent/<date>_<time>` and return it; two runs of one second get two folders.

    Raises:
        OSError: where it cannot be made.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    stamp = (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1000):
        folder = parent / (stamp if attempt == 0 else f"{stamp}_{attempt + 1}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise OSError(f"{parent} holds 1000 runs of this second")


def run_name(choices):
    """What a run is called: its experiment, or its data where no experiment was chosen."""
    return choices.get("experiment") or choices["data"]


def header(config, choices, folder):
    """What a run is going to do, known before TensorFlow is there."""
    data, model, trainer = config["data"], config["model"], config["trainer"]
    size, length = data["image_size"], trainer["steps"] or trainer["epochs"]
    unit = "steps" if trainer["steps"] is not None else "epochs"
    length = length if isinstance(length, str) else f"{length} {unit}"
    vision, prefix = image_tower(model)
    vision = model_sizes(vision, prefix)
    text, _ = text_tower(model)
    texts = "" if text is None else f"; texts: {_tower(text)}"
    pictures = "pictures of the set's own size" if size is None else f"pictures of {_by(size)} pixels"
    rows = {
        "experiment": choices.get("experiment")
        or f"none named: {choices['data']} with the defaults of conf/train.yaml",
        "data": f"{data.get('name') or choices['data']}, {pictures}",
        "model": f"{choices['model']}: {_tower(vision)}, patches of {_by(vision['patch_size'])} pixels{texts}",
        "length": f"{length} of {data['batch_size']} {'pictures' if text is None else 'pairs'}, seed {config['seed']}",
        "results": str(folder),
    }
    return printable_rows(rows)


def _tower(sizes):
    return f"{sizes['depth']} blocks, width {sizes['embed_dim']}, {sizes['num_heads']} heads"


def _by(size):
    height, width = (size, size) if isinstance(size, int) else size
    return f"{height} x {width}"


def prepare_train(arguments, config):
    """Check what was typed before anything is made; exits with status 2 and one message where it is wrong.

    Args:
        arguments: list of str, `sys.argv[1:]`.
        config: the module `vitcross.config`.

    Returns:
        `(arguments, resumed)`: list of str, the arguments for Hydra: the typed ones, with the folder of the run; and a
        `vitcross.go_on.Resumed` where a run goes on, which does without Hydra, else None.
    """
    overrides, flags = split_arguments(arguments)
    if {"-h", "--help"} & set(flags):
        print(help_page(config.CONF))
        raise SystemExit(0)
    try:
        if flags:
            # --cfg, --info and the like, whose values stand behind them: Hydra answers.
            return [*arguments, *config.one_length(overrides)[len(overrides) :]], None
        if go_on.typed_value(overrides, "resume"):
            return [], go_on.resume(overrides, False, config)
        settings, choices = config.check_arguments("train", overrides)
        check_folder(settings["data"])
        folder = go_on.typed_value(overrides, "hydra.run.dir")
        if folder and run_folder.holds_run(folder):
            return [], go_on.again(folder, settings, choices, config)
        check_init_from(settings, config)
        if folder:
            run_folder.lock(folder)
            return config.one_length(overrides), None
        folder = claim_folder(Path("outputs") / run_name(choices))
        run_folder.lock(folder)
    except (ValueError, OSError) as error:
        fail(str(error))
    return [*config.one_length(overrides), f"hydra.run.dir={folder}"], None


def speak():
    """Show what the package logs (preparing data, unreadable pictures) as plain lines among what is printed."""
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
    # Later notes (of costs that it cannot guess, say) are warnings; errors are still shown.
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


@contextlib.contextmanager
def explained(folder):
    """Turn an exception into one message and exit status 1; the traceback goes to `traceback.txt` in `folder`.

    A signal that nobody handled exits with 128 + its number.
    """
    try:
        yield
    except Exception as error:
        error = out_of_memory.explained(error)
        where = f"The traceback is in {folder}/traceback.txt"
        try:
            atomic_files.write_text(Path(folder) / "traceback.txt", f"{printable_lines(traceback.format_exc())}\n")
        except OSError:  # the disk that is full may be the reason
            where = traceback.format_exc()
        text = "\n".join([*(str(error).strip().splitlines()[:12] or ["no message"]), *getattr(error, "__notes__", ())])
        # Our own errors are sentences; of others the kind says more than the words.
        kind = "" if isinstance(error, ValueError | OSError | RuntimeError) else f"{type(error).__name__}: "
        fail(f"{kind}{text}\n{where}", status=1)
    except BaseException as interruption:
        number = getattr(
            interruption, "signal_number", signal.SIGINT if isinstance(interruption, KeyboardInterrupt) else None
        )
        if number is None:
            raise
        fail(f"stopped by {signal.Signals(number).name}", status=128 + number)


def quote(argument):
    """`images=a,b=c.jpg` as Hydra takes it literally: free text may hold commas, brackets and `=`."""
    key, _, value = argument.partition("=")
    if key not in FREE_TEXT or value in ("null", ""):
        return argument
    if value[0] in "'\"" and value[-1] == value[0] and len(value) > 1:
        return argument  # quoted by the user
    escaped = re.sub(r"(\\*)(\"|$)", lambda m: m[1] * 2 + ("\\" if m[2] else "") + m[2], value)
    return f'{key}="{escaped}"'


FREE_TEXT = ("run", "images", "text", "compare", "target")


def check_target(run_config, settings):
    """Whether a class or an answer that is to be explained exists; a word of a caption is known only later.

    Raises:
        ValueError: it names the nearest ones.
    """
    if run_config["task"]["_target_"].endswith("Captioning"):
        return
    try:
        names = class_names_of(settings["run"], settings["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # opening the checkpoint says what is wrong with it
    wanted = settings["target"]
    if wanted.isdecimal() and int(wanted) < len(names) or wanted.casefold() in [name.casefold() for name in names]:
        return
    nearest = difflib.get_close_matches(wanted, names, n=3, cutoff=0.3)
    shown = list(dict.fromkeys([*nearest, *names]))[:8]
    more = ", ..." if len(shown) < len(names) else ""
    raise ValueError(f"target must be one of {', '.join(shown)}{more}. Received: target={wanted!r}")


def class_names_of(run_folder, which):
    """The class names in the checkpoint's JSON, read without loading what writes it."""
    folder = Path(run_folder) / "checkpoints"
    name = json.loads((folder / "index.json").read_text())[which]
    return json.loads((folder / name / "checkpoint.json").read_text())["class_names"]


def prepare_evaluate(arguments, config):
    """Check what was typed before TensorFlow starts; exits with status 2 and one message where it is wrong."""
    overrides, flags = split_arguments([quote(argument) for argument in arguments])
    if {"-h", "--help"} & set(flags):
        print(help_page(config.CONF, "evaluate"))
        raise SystemExit(0)
    if flags:
        return [quote(argument) for argument in arguments]
    try:
        settings, _ = config.check_arguments("evaluate", overrides)
        run_config = config.open_run(settings["run"])
        if settings["images"] is not None:
            find_pictures(settings["images"])
        check_own_text(run_config, settings)
        if settings["compare"] is not None:
            config.open_run(settings["compare"], key="compare")
        if settings["target"] is not None:
            check_target(run_config, settings)
    except ValueError as error:
        fail(str(error))
    return overrides
