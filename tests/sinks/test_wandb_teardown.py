"""A background process that misses its end does not keep a run from ending."""

import subprocess
import sys
import time
import types

from vitcross.sinks.weights_and_biases.teardown import tear_down


def session(process):
    """What `tear_down` needs of wandb, with a teardown that waits for its process, as wandb's does."""
    connection = types.SimpleNamespace(_proc=types.SimpleNamespace(_process=process))
    setup = types.SimpleNamespace(singleton=lambda: types.SimpleNamespace(_connection=connection))
    return types.SimpleNamespace(sdk=types.SimpleNamespace(wandb_setup=setup), teardown=lambda: process.wait())


def test_a_process_that_does_not_end_is_killed():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    began = time.monotonic()
    tear_down(session(process), patience=0.5)
    assert process.returncode == -9 and time.monotonic() - began < 60


def test_a_process_that_ends_by_itself_is_not_killed():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    tear_down(session(process), patience=300)
    assert process.returncode == 0


def test_the_real_session_is_found_and_ended(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    run = wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True))
    process = wandb.sdk.wandb_setup.singleton()._connection._proc._process
    assert process.poll() is None
    process.send_signal(19)  # SIGSTOP: it hears nothing any more
    tear_down(wandb, patience=1.0)
    assert process.poll() == -9
    del run
