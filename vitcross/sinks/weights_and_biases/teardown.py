"""The end of a W&B session, in bounded time.

It imports no wandb: the module is handed in by the sink that has it.
"""

import contextlib
import logging
import threading

logger = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds; a session that has nothing to do ends in one


def tear_down(wandb, patience=PATIENCE):
    """`wandb.teardown()`, but not for ever.

    Where the background process (wandb 0.31) gives up on a server in the very moment in which its client does, the
    request to end is lost with the connection, and `teardown` waits for a process that waits for it. What it was to
    upload is on disk, so that it can be killed.

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
        # It leaves the program with the status of a process that did not end well: no reason for a run to end.
        with contextlib.suppress(SystemExit):
            wandb.teardown()
    finally:
        watchdog.cancel()


def _background_process(wandb):
    """The `subprocess.Popen` of the session, or None: there is none, or a newer wandb keeps it elsewhere."""
    try:
        return wandb.sdk.wandb_setup.singleton()._connection._proc._process
    except AttributeError:
        return None


def _kill(process):
    logger.warning("Weights & Biases: its background process did not end and was stopped; nothing on disk is lost")
    process.kill()
