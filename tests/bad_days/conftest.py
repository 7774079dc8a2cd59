import pytest

from tests.killing import Runs


@pytest.fixture(scope="session")
def runs():
    """Starts whole runs in processes of their own, without the seconds of the imports."""
    with Runs() as started:
        yield started
