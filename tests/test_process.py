"""Tests of how a process ends: with the status of its main function, whatever its threads do."""

import subprocess
import sys

import pytest

THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(300,)).start()"


@pytest.mark.parametrize(
    ("main", "status", "error"),
    [
        ("lambda: None", 0, ""),
        ("lambda: 7", 7, ""),
        ("lambda: sys.exit(130)", 130, ""),
        ("lambda: sys.exit('what to do')", 1, "what to do"),
        ("lambda: 1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_process_ends_though_a_thread_never_does(main, status, error):
    code = (
        f"import sys\n{THREAD}\nfrom vitcross.command_line.process import exit_after\nprint('done')\nexit_after({main})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (status, "done\n") and error in done.stderr
