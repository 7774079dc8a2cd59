"""Logs a run to Weights & Biases: curves, configuration and attention sheets, online or offline in the run folder.

This is the only file that imports wandb, and only when a run starts. It never prompts, never lets an unreachable server
stop or slow training, and writes only below the run folder. The settings are made for wandb 0.31.
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
from vitcross.sinks.weights_and_biases.environment import (
    effective_mode,
    files_in,
    one_line,
    sync_command,
    upload_problem,
)
from vitcross.sinks.weights_and_biases.teardown import tear_down
from vitcross.terminal import say

MODES = ("auto", "online", "offline", "disabled")


class WeightsAndBiases(Sink):
    """One W&B run.

    If the server cannot be used at the start, the run continues offline under a new id after at most about
    `init_timeout` seconds. If it fails later, wandb keeps everything on disk and retries in the background; `close`
    waits at most `finish_timeout` seconds. A refusal by the server is reported at the next capture. Each message is one
    line with the command that uploads the rest.

    Args:
        run_folder: str or path, everything is written below its `wandb/`.
        config: dict, the resolved configuration, JSON types, may be nested.
        mode: "auto" (online if an API key is configured, else offline), "online", "offline" or "disabled". "auto"
            respects `WANDB_MODE` and `wandb offline`.
        entity, project, group: str or None; None: `WANDB_ENTITY`, `WANDB_PROJECT`, `WANDB_RUN_GROUP`.
        name: str or None; None: `WANDB_NAME`, or the last two parts of the run folder.
        tags: sequence of str.
        job_type: str, "train" or "evaluation".
        base_url: str or None, address of the user's own server; None: `WANDB_BASE_URL` or what `wandb login` stored.
        init_timeout, finish_timeout: seconds to wait for the server at the start, and for uploads at the end; > 0.
        captures: int, number of captures that the run plans; if they are too many for one W&B run, some are skipped.
        report: callable of one str, shows a line to the user.
        resume: bool, continue the W&B run of `run_folder` under its id, if there is one. Online the server appends, and
            rows since the checkpoint are there twice. Offline the new part is appended when both are synced.

    Attributes:
        mode: the effective one, "online", "offline" or "disabled".
        run_id, url: str or None; `url` only online.
        folder: path of the run's own files below `wandb/`, or None.

    Raises:
        ValueError: for an unknown mode, a timeout that is not positive or an invalid address; nothing else is raised at
            the start.
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
            if not value > 0:  # 0 means no limit to wandb
                raise ValueError(f"sinks.wandb.{key} must be a positive number of seconds. Received: {key}={value!r}")
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"sinks.wandb.base_url must start with http:// or https://. Received: base_url={base_url!r}"
            )
        self.run_folder = Path(run_folder).resolve()
        self.mode, self.run_id, self.url, self.folder = "disabled", None, None, None
        self._base_url, self._finish_timeout, self._report = base_url, finish_timeout, report
        self._timeouts = {"init_timeout": float(init_timeout), "finish_timeout": float(finish_timeout)}
        self._run, self._environment = None, contextlib.ExitStack()
        self._captures, self._uploads, self._refusal_reported = captures, None, False
        in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))  # a W&B sweep has its own project
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
        # An evaluation writes below the same folder but is a separate run.
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
        self._report_refusal()

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
            # Ends the background process, whose log file is in this run's folder.
            tear_down(wandb)
            self._environment.close()
        self._report_end(problem)

    def _report_end(self, problem):
        if self.mode == "offline":
            text = f"the run is complete offline. Upload it with: {self.sync_command}"
        elif problem is None:
            text = f"{self.url} (if anything is missing there: {self.sync_command})"
        else:
            text = f"the server did not take everything ({one_line(problem)}). Nothing is lost, it is in the run "
            text += f"folder. Upload it with: {self.sync_command}"
        self._report(f"Weights & Biases: {text}")

    @property
    def sync_command(self):
        """The shell command that uploads an offline or incomplete run; None without a run."""
        if self.folder is None:
            return None
        # All parts of a resumed run in order of their start; of two in one second the later ends in -1.
        folders = sorted(self.folder.parent.glob(f"*run-*-{self.run_id}*"), key=lambda path: path.name.split("run-")[1])
        online = any(not path.name.startswith("offline") for path in folders)
        return sync_command(folders or [self.folder], online=online, base_url=self._base_url)

    def _files(self):
        """A temporary folder for files to log, which wandb copies."""
        return tempfile.TemporaryDirectory(prefix="sheets-", dir=self.run_folder / "wandb")

    def _log(self, step, row):
        # Never use `step=`: wandb silently drops a step that is lower than the last one.
        if row:
            self._run.log({STEP: step, **row})

    def _report_refusal(self):
        """Report once, as soon as it is known, that the server refuses the run: its end may be a day away."""
        problem = upload_problem(self.folder) if self.mode == "online" and not self._refusal_reported else None
        if problem is not None:
            self._refusal_reported = True
            self._report(
                f"Weights & Biases: the server refuses the run ({one_line(problem)}); it continues, nothing is lost"
            )

    def _log_rest(self):
        try:
            with self._files() as folder:
                for step, row in self._uploads.rest(folder):
                    self._log(step, row)
        except Exception as error:  # the run must be finished nevertheless
            self._report(f"Weights & Biases: the last capture is missing there: {one_line(error)}")

    def _start(self, mode):
        try:
            self._environment.enter_context(files_in(self.run_folder / "wandb"))
            mode, reason = effective_mode(mode, self._fresh_session().settings, _has_credentials)
            if mode == "disabled":
                self._environment.close()
                return
            if mode == "online":
                reason = self._try_online()
            if self._run is None:
                self._init("offline")
                self._report(f"Weights & Biases: offline, {reason}. Upload later with: {self.sync_command}")
        except Exception as error:
            self.mode, self._run = "disabled", None
            self._environment.close()
            self._report(f"Weights & Biases is disabled because it could not be started: {one_line(error)}")

    def _try_online(self):
        """Start the run online. Returns None, or why it is not possible."""
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

        # Settings are read from the environment only once, and the background process may still hold a half-started
        # run: both may come from an earlier run or from the attempt to start online.
        tear_down(wandb)
        return wandb.setup(settings=wandb.Settings(**self._quiet, **self._server))

    def _init(self, mode):
        import wandb

        settings = wandb.Settings(
            **self._quiet,
            **self._server,
            **self._timeouts,
            finish_timeout_raises=True,
            x_transaction_log_flush_interval=2.0,  # seconds of rows that SIGKILL can lose; 15 by default
            x_stats_sampling_interval=30.0,
            disable_git=True,
            disable_code=True,
            # Plain lines are shown in the dashboard; a progress bar would conflict with the wrapper.
            console="off" if sys.stdout.isatty() else "wrap",
        )
        run = wandb.init(mode=mode, settings=settings, **self._arguments)
        # Rows may come in any order of steps, so the axis is a logged value instead of wandb's counter.
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        self._run, self.mode, self.run_id = run, mode, run.id
        if self._id_path is not None:
            atomic_files.write_text(self._id_path, f"{run.id}\n")
        self._uploads = media.Uploads(wandb, self._captures)
        self.folder = Path(run.dir).parent
        self.url = run.url if mode == "online" else None

    # `quiet` also prevents a request to the server before any timeout is set. Without `silent` the background process
    # prints to the console.
    _quiet = {"silent": True, "quiet": True, "show_info": False}

    @property
    def _server(self):
        return {"base_url": self._base_url} if self._base_url else {}


def _has_credentials(base_url):
    """Whether wandb finds a key in environment, netrc or settings, without a prompt and without the network."""
    # `wandb.login(prompt=False)` would use the server and rewrite the user's settings file.
    from wandb.sdk.lib import wbauth

    return wbauth.authenticate_session(host=base_url, source="", prompt=False, update_session=False) is not None


@contextlib.contextmanager
def account(base_url=None):
    """Context manager of a session without a run; yields a callable that returns the account's default entity.

    It does not prompt and leaves no files.

    Args:
        base_url: str or None, address of the user's own server.

    Raises:
        LookupError: if no usable API key is configured for the server.
    """
    import wandb

    with tempfile.TemporaryDirectory(prefix="vitcross-") as folder, files_in(Path(folder), base_url):
        try:
            tear_down(wandb)
            # By default wandb waits minutes for a server that does not answer.
            patience = {"x_graphql_retry_max": 2, "x_graphql_timeout_seconds": 10}
            session = wandb.setup(settings=wandb.Settings(silent=True, quiet=True, **patience))
            mode, reason = effective_mode("online", session.settings, _has_credentials)
            if mode != "online":
                raise LookupError(reason)
            yield lambda: wandb.Api().default_entity
        finally:
            tear_down(wandb)
