import subprocess
import sys

import pytest

from vitcross.training.device import choose_deterministic, choose_jit_compile

COUNT = """
import sys
from vitcross.training.device import describe_device, make_deterministic
describe_device()
make_deterministic(False, int(sys.argv[1]))
import tensorflow as tf
tf.zeros(3)
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(
    ("setting", "is_accelerator", "expected"),
    [("auto", False, True), ("auto", True, False), (True, True, True), (False, False, False)],
)
def test_training_is_deterministic_by_default_on_cpu(setting, is_accelerator, expected):
    assert choose_deterministic(setting, is_accelerator) is expected


def test_determinism_turns_xla_off_only_on_a_gpu():
    assert choose_jit_compile("auto", True, False) is True
    assert choose_jit_compile("auto", True, True) is False
    assert choose_jit_compile(True, False, True) is True
    with pytest.raises(ValueError, match="trainer.deterministic=true needs trainer.jit_compile=false"):
        choose_jit_compile(True, True, True)


def test_the_number_of_threads_is_fixed_after_the_device_was_described():
    done = subprocess.run([sys.executable, "-c", COUNT, "3"], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1] == "3", done.stderr
