"""Runs the training and, however it ends, closes the sinks with a summary and an exit status."""

from vitcross import metric_keys
from vitcross.training import out_of_memory
from vitcross.training.guards import Interrupted


def train_and_close(trainer, sink, output_locations, unreadable):
    """Train, then close the sinks in any case.

    Args:
        trainer: `vitcross.training.trainer.Trainer`.
        sink: `vitcross.sinks.sink.Sink`; its `close` gets the summary and the exit status.
        output_locations: dict of str, added to the summary.
        unreadable: `vitcross.data.problems.UnreadableImages` of the data.

    Returns:
        int, exit status: 0, or 128 + signal number if a signal ended the run.

    Raises:
        Exception: whatever made the run fail, after the sinks were closed with exit status 1.
    """
    state, status = "failed", 1
    try:
        trainer.fit()
        state, status = "finished", 0
    except Interrupted as interruption:
        state, status = f"interrupted by {interruption} at step {trainer.step}", 128 + interruption.signal_number
    except Exception as error:
        reason = out_of_memory.as_out_of_memory(unreadable.root_cause(error))
        state = f"failed at step {trainer.step}: {type(reason).__name__}: {reason}"
        if reason is error:
            raise
        for note in getattr(error, "__notes__", ()):
            reason.add_note(note)
        raise reason from error
    finally:
        trainer.stop_on_signal.hold()  # closing is short and must not be interrupted
        skipped = {metric_keys.UNREADABLE_IMAGES: len(unreadable)} if len(unreadable) else {}
        sink.close({"state": state, **trainer.figures(), **skipped, **output_locations}, status)
    received = trainer.stop_on_signal.received
    return 128 + received if status == 0 and received is not None else status
