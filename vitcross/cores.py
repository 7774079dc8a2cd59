"""Counts the cores that this process may use."""

import os


def num_cores():
    """Cores that the process may use: where the platform tells, those that it is bound to, not all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
