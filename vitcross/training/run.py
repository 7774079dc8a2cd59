"""How a run ends: whatever happens, sinks are closed, the summary is written, and the exit status says which it was."""

from vitcross.training.guards import Interrupted


def train_and_close(trainer, sink, places, cause_of_failure=None):
    """Train, then close the sinks in any case.

    Args:
        trainer: `vitcross.training.trainer.Trainer`.
        sink: `vitcross.sinks.sink.Sink`; its `close` gets the summary and the exit status.
        places: dict of str, where to look: it joins the summary.
        cause_of_failure: callable without arguments, returns the exception behind one that TensorFlow raised in its
            own words (an unreadable picture, say), or None.

    Returns:
        int, exit status: 0, or 128 + signal number for a run that a signal ended.

    Raises:
        Exception: what made the run fail, after the sinks were closed with exit status 1.
    """
    state, status = "failed", 1
    try:
        trainer.fit()
        state, status = "finished", 0
    except Interrupted as interruption:
        state, status = f"interrupted by {interruption} at step {trainer.step}", 128 + interruption.signal_number
    except Exception as error:
        error = (cause_of_failure and cause_of_failure()) or error
        state = f"failed at step {trainer.step}: {type(error).__name__}: {error}"
        raise error from None
    finally:
        sink.close({"state": state, **trainer.figures(), **places}, status)
    return status
