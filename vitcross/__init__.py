"""vitcross: train Vision Transformers with one command and see, while they train, where they attend.

Importing the package loads neither TensorFlow nor Keras, so that a wrong command is answered at once.
"""

__version__ = "0.1.0"
__all__ = ["load"]


def load(run_folder):
    """Load the best model of a run, ready for a notebook.

    Args:
        run_folder: str or path, the folder that `train.py` printed, e.g. `outputs/scenes/2026-11-22_20-10-00`.

    Returns:
        `(model, preprocess, class_names)`: the network with the best checkpoint's weights; a function from an image
        (path, `PIL.Image` or uint8 array `(h, w, c)` of any size) to the float32 array `(H, W, C)` in [-1, 1] that the
        network expects; a tuple of str, one name per output of the network.

    Raises:
        ValueError: where the folder is not a run folder or holds no complete checkpoint.
    """
    from vitcross.experiment.finished_run import load_run

    return load_run(run_folder)
