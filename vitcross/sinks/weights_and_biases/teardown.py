"""Ends a W&B session in bounded time. It does not import wandb: the sink passes the module in."""

import contextlib
import logging
import threading

logger = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds; an idle session ends within one


def tear_down(wandb, patience=PATIENCE):
    """`wandb.teardown()` with a time limit.

    If the background process (wandb 0.31) and its client give up on a server at the same moment, the request to end is
    lost and the two wait for each other. The process may be killed: what it has not uploaded is on disk.

    Args:
        wandb: the module.
        patience: float, seconds.
    """
    process = _background_process(wandb)
    if process is None:
        wandb.teardown()
        return
    watchdog = threading.Timer(patience, _kill, [process])
    watchdog.daemon = True
    watchdog.start()
    try:
        # If the process ended with an error, wandb exits the program, which must not end the run.
        with contextlib.suppress(SystemExit):
            wandb.teardown()
    finally:
        watchdog.cancel()


def _background_process(wandb):
    """The `subprocess.Popen` of the session; None if there is none or a newer wandb keeps it elsewhere."""
    try:
        return wandb.sdk.wandb_setup.singleton()._connection._proc._process
    except AttributeError:
        return None


def _kill(process):
    logger.warning("Weights & Biases: its background process did not end and was stopped; nothing on disk is lost")
    process.kill()
