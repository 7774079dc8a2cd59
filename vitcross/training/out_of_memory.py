"""Recognizes errors that mean too little memory and says what needs less. Imports no Keras."""

import re

_NAMES = ("ResourceExhaustedError", "OutOfMemoryError")  # of TensorFlow, torch
_REMEDY = (
    "These need less: trainer.accumulate_steps=4 (the same batch, a quarter at a time; contrastive losses: "
    "task.chunk_size), a smaller data.batch_size, "
    "a smaller data.image_size or a larger model.patch_size, a smaller model, trainer.dtype_policy=mixed_bfloat16"
)


class OutOfMemory(RuntimeError):
    """There was too little memory for a step or an evaluation."""


def as_out_of_memory(error):
    """`OutOfMemory` in place of any library's error about memory; other errors are returned unchanged."""
    if not _is_out_of_memory(error):
        return error
    tensor = re.search(r"shape ?[\[(]([\d, ]+)[\])]", str(error))
    what = f" at a tensor of shape ({', '.join(tensor[1].replace(',', ' ').split())})" if tensor else ""
    return OutOfMemory(f"memory ran out{what}. {_REMEDY}")


def _is_out_of_memory(error):
    if "No space left" in str(error):  # TensorFlow raises ResourceExhaustedError for a full disk too
        return False
    if isinstance(error, MemoryError) or type(error).__name__ in _NAMES:
        return True
    return "RESOURCE_EXHAUSTED" in str(error)  # JAX
