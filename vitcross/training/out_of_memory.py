"""What is said when memory runs out: one sentence with what needs less. Imports nothing heavy."""

import re

_NAMES = ("ResourceExhaustedError", "OutOfMemoryError")  # of TensorFlow, torch
_REMEDY = (
    "What needs less: trainer.accumulate_steps=4 (the same batch, a quarter at a time; contrastive losses: "
    "task.chunk_size), a smaller data.batch_size, "
    "a smaller data.image_size or a larger model.patch_size, a smaller model, trainer.dtype_policy=mixed_bfloat16"
)


class OutOfMemory(RuntimeError):
    """Memory did not suffice for one step or one evaluation."""


def as_out_of_memory(error):
    """`OutOfMemory` for an exception that means this, whoever raised it; any other comes back as it is."""
    if not _means_it(error):
        return error
    tensor = re.search(r"shape ?[\[(]([\d, ]+)[\])]", str(error))
    what = f" at a tensor of shape ({', '.join(tensor[1].replace(',', ' ').split())})" if tensor else ""
    return OutOfMemory(f"memory ran out{what}. {_REMEDY}")


def _means_it(error):
    if "No space left" in str(error):  # TensorFlow's name for a full disk too
        return False
    if isinstance(error, MemoryError) or type(error).__name__ in _NAMES:
        return True
    return "RESOURCE_EXHAUSTED" in str(error)  # JAX
