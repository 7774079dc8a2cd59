"""Weights & Biases: curves, configuration and attention sheets in the dashboard, or offline in the run folder.

The only file that imports wandb, and only once a run is started: a disabled sink costs nothing. It never asks a
question, never lets an unreachable server stop or slow training, and keeps all it writes below the run folder.

The settings answer to wandb 0.31: what each of them prevents stands beside it.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from vitcross import atomic_files
from vitcross.metric_keys import ANIMATION, STEP
from vitcross.pages.json_text import to_json
from vitcross.sinks.sink import Sink
from vitcross.sinks.weights_and_biases import media
from vitcross.sinks.weights_and_biases.environment import RunEnvironment, effective_mode, one_line, sync_command
from vitcross.sinks.weights_and_biases.teardown import tear_down
from vitcross.sinks.weights_and_biases.upload_log import upload_problem
from vitcross.terminal import say

MODES = ("auto", "online", "offline", "disabled")


class WeightsAndBiases(Sink):
    """One W&B run.

    A server that cannot be reached, answers errors or does not answer at the start: the run goes on offline under a
    new id after at most about `init_timeout` seconds. One that dies later: wandb keeps everything on disk and tries
    again in the background; `close` waits at most `finish_timeout` seconds. One that refuses the run for good is told
    at the next capture. Each is said in one line with the command that uploads the rest.

    Args:
        run_folder: str or path, everything is written below its `wandb/`.
        config: dict, the resolved configuration, JSON types, may be nested.
        mode: "auto" (online where an API key is configured, else offline), "online", "offline" or "disabled". With
            "auto", `WANDB_MODE` and `wandb offline` are honoured.
        entity, project, group: str or None; None: what `WANDB_ENTITY`, `WANDB_PROJECT`, `WANDB_RUN_GROUP` say.
        name: str or None; None: `WANDB_NAME`, or the last two parts of the run folder.
        tags: sequence of str.
        job_type: str, "train" or "evaluation".
        base_url: str or None, address of an own server; None: `WANDB_BASE_URL` or what `wandb login` stored.
        init_timeout: seconds to wait for the server at the start, > 0.
        finish_timeout: seconds to wait for uploads at the end, > 0.
        captures: int, how many captures the run plans: of too many for one W&B run some are left out.
        report: callable of one str, shows a line to the user.
        resume: bool, go on with the W&B run that `run_folder` has, under its id, where it has one. Online the server
            appends; rows since the checkpoint are there twice. Offline the new part is appended when both are synced.

    Attributes:
        mode: the effective one, "online", "offline" or "disabled".
        run_id, url: str or None; `url` only online.
        folder: path of the run's own files below `wandb/`, or None.

    Raises:
        ValueError: for an unknown mode, a timeout that is not positive or an address that is none. Nothing else is
            ever raised at the start.
    """

    def __init__(
        self,
        *,
        run_folder,
        config=None,
        mode="auto",
        entity=None,
        project="vitcross",
        group=None,
        name=None,
        tags=(),
        job_type="train",
        base_url=None,
        init_timeout=20,
        finish_timeout=60,
        captures=10,
        report=say,
        resume=False,
    ):
        if mode not in MODES:
            raise ValueError(f"sinks.wandb.mode must be one of {', '.join(MODES)}. Received: mode={mode!r}")
        for key, value in (("init_timeout", init_timeout), ("finish_timeout", finish_timeout)):
            if not value > 0:  # 0 means "for ever" to wandb
                raise ValueError(f"sinks.wandb.{key} must be a positive number of seconds. Received: {key}={value!r}")
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"sinks.wandb.base_url must start with http:// or https://. Received: base_url={base_url!r}"
            )
        self.run_folder = Path(run_folder).resolve()
        self.mode, self.run_id, self.url, self.folder = "disabled", None, None, None
        self._base_url, self._finish_timeout, self._report = base_url, finish_timeout, report
        self._timeouts = {"init_timeout": float(init_timeout), "finish_timeout": float(finish_timeout)}
        self._run, self._environment = None, RunEnvironment()
        self._captures, self._uploads, self._told = captures, None, False
        in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))  # the sweep has its own project and warns about ours
        self._arguments = {
            "dir": str(self.run_folder),
            "config": config,
            "entity": None if in_sweep else entity,
            "project": None if in_sweep else project,
            "group": group,
            "name": name or os.environ.get("WANDB_NAME") or "/".join(self.run_folder.parts[-2:]),
            "tags": list(tags) or None,
            "job_type": job_type,
        }
        # An evaluation writes below the same folder and is a run of its own.
        self._id_path = self.run_folder / "wandb" / "run_id.txt" if job_type == "train" else None
        if resume and self._id_path is not None and self._id_path.is_file():
            self._arguments |= {"id": self._id_path.read_text().strip(), "resume": "allow"}
        if mode != "disabled":
            self._start(mode)

    def scalars(self, step, values):
        if self._run is not None:
            self._run.log({STEP: step, **values})

    def media(self, step, media):
        if self._run is None:
            return
        note = self._uploads.note
        with self._files() as folder:
            self._log(step, self._uploads.row(step, media, folder))
        if self._uploads.note != note:
            self._report(f"Weights & Biases: {self._uploads.note}; all of them are in the run folder")
        self._tell_refusal()

    def animation(self, step, gif):
        if self._run is None:
            return
        import wandb

        with self._files() as folder:
            self._log(step, {ANIMATION: media.animation(wandb, gif, folder)})

    def close(self, summary, exit_code):
        if self._run is None:
            return
        import wandb

        self._log_rest()
        run, self._run = self._run, None
        try:
            run.summary.update(json.loads(to_json(summary)))  # plain types: wandb refuses paths and arrays
            run.finish(exit_code=exit_code)
            problem = upload_problem(self.folder)
        except TimeoutError:
            problem = f"not within {self._finish_timeout:g} s"
        finally:
            # Ends the background process: its log file lies in this run's folder, the next run gets its own.
            tear_down(wandb)
            self._environment.restore()
        self._last_word(problem)

    def _last_word(self, problem):
        if self.mode == "offline":
            text = f"the run is complete offline. Upload it with: {self.sync_command}"
        elif problem is None:
            text = f"{self.url} (should anything be missing there: {self.sync_command})"
        else:
            text = f"the server did not take everything ({one_line(problem)}). Nothing is lost, it is in the run "
            text += f"folder. Upload it with: {self.sync_command}"
        self._report(f"Weights & Biases: {text}")

    @property
    def sync_command(self):
        """The command that uploads an offline or incomplete run, ready for a shell; None without a run."""
        if self.folder is None:
            return None
        # All parts of a run that was resumed, in order of their start; of two in one second the later ends in -1.
        folders = sorted(self.folder.parent.glob(f"*run-*-{self.run_id}*"), key=lambda path: path.name.split("run-")[1])
        online = any(not path.name.startswith("offline") for path in folders)
        return sync_command(folders or [self.folder], online=online, base_url=self._base_url)

    # ------------------------------------------------------------------------------------------------------ the media

    def _files(self):
        """A folder for files on their way: `log` copies them."""
        return tempfile.TemporaryDirectory(prefix="sheets-", dir=self.run_folder / "wandb")

    def _log(self, step, row):
        # Never `step=`: a step that is lower than the last one is dropped without an exception.
        if row:
            self._run.log({STEP: step, **row})

    def _tell_refusal(self):
        """A server that refuses the run for good is told when it is seen, once: the end may be a day away."""
        problem = upload_problem(self.folder) if self.mode == "online" and not self._told else None
        if problem is not None:
            self._told = True
            self._report(f"Weights & Biases: the server refuses the run ({one_line(problem)}); it goes on, all is kept")

    def _log_rest(self):
        try:
            with self._files() as folder:
                for step, row in self._uploads.rest(folder):
                    self._log(step, row)
        except Exception as error:  # the run must be finished all the same
            self._report(f"Weights & Biases: the last capture is missing there: {one_line(error)}")

    # ------------------------------------------------------------------------------------------------------ the start

    def _start(self, mode):
        try:
            self._environment.enter(self.run_folder / "wandb")
            mode, reason = effective_mode(mode, self._fresh_session().settings, _has_credentials)
            if mode == "disabled":
                self._environment.restore()
                return
            if mode == "online":
                reason = self._try_online()
            if self._run is None:
                self._init("offline")
                self._report(f"Weights & Biases: offline, {reason}. Upload later with: {self.sync_command}")
        except Exception as error:
            self.mode, self._run = "disabled", None
            self._environment.restore()
            self._report(f"Weights & Biases is left out, it could not be started: {one_line(error)}")

    def _try_online(self):
        """Start the run online. Returns None, or why that was not possible."""
        folder = self.run_folder / "wandb"
        before = set(folder.glob("run-*"))
        try:
            self._init("online")
        except Exception as error:
            self._fresh_session()
            for half_started in set(folder.glob("run-*")) - before:  # a bare `wandb sync` would upload an empty run
                shutil.rmtree(half_started, ignore_errors=True)
            return f"the server cannot be used ({one_line(error)})"
        self._report(f"Weights & Biases: online, {self.url}")
        return None

    def _fresh_session(self):
        import wandb

        # Settings are read from the environment once, and the background process may still hold a half-started run
        # and its id: both from an earlier run, or from the attempt to go online.
        tear_down(wandb)
        return wandb.setup(settings=wandb.Settings(**self._quiet, **self._server))

    def _init(self, mode):
        import wandb

        settings = wandb.Settings(
            **self._quiet,
            **self._server,
            **self._timeouts,
            finish_timeout_raises=True,
            x_transaction_log_flush_interval=2.0,  # seconds of rows that SIGKILL can cost; 15 otherwise
            x_stats_sampling_interval=30.0,
            disable_git=True,
            disable_code=True,
            # Plain lines belong into the dashboard. A progress bar does not, and the wrapper would fight with it.
            console="off" if sys.stdout.isatty() else "wrap",
        )
        run = wandb.init(mode=mode, settings=settings, **self._arguments)
        # Rows may arrive in any order of steps, so the axis is a logged value, not wandb's own counter.
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        self._run, self.mode, self.run_id = run, mode, run.id
        if self._id_path is not None:
            atomic_files.write_text(self._id_path, f"{run.id}\n")
        self._uploads = media.Uploads(wandb, self._captures)
        self.folder = Path(run.dir).parent
        self.url = run.url if mode == "online" else None

    # `quiet` also keeps wandb from asking the server who we are, before any timeout is in force. Its background process
    # prints to the console by itself without `silent`: what it has to say is told here, once.
    _quiet = {"silent": True, "quiet": True, "show_info": False}

    @property
    def _server(self):
        return {"base_url": self._base_url} if self._base_url else {}


def _has_credentials(base_url):
    """Whether wandb itself finds a key: environment, netrc, settings. Without a prompt, without the network."""
    # `wandb.login(prompt=False)` would do, but it talks to the server and rewrites the user's settings file.
    from wandb.sdk.lib import wbauth

    return wbauth.authenticate_session(host=base_url, source="", prompt=False, update_session=False) is not None


@contextlib.contextmanager
def account(base_url=None):
    """A conversation with the server without a run; hands over a callable that asks for the account's own entity.

    It asks the user nothing and leaves no file behind.

    Args:
        base_url: str or None, address of an own server.

    Raises:
        LookupError: where no API key is configured for the server, or none that can be used.
    """
    import wandb

    environment = RunEnvironment()
    with tempfile.TemporaryDirectory(prefix="vitcross-") as folder:
        environment.enter(Path(folder), base_url)
        try:
            tear_down(wandb)
            # Its own patience with a server that does not answer is minutes.
            patience = {"x_graphql_retry_max": 2, "x_graphql_timeout_seconds": 10}
            session = wandb.setup(settings=wandb.Settings(silent=True, quiet=True, **patience))
            mode, reason = effective_mode("online", session.settings, _has_credentials)
            if mode != "online":
                raise LookupError(reason)
            yield lambda: wandb.Api().default_entity
        finally:
            tear_down(wandb)
            environment.restore()
