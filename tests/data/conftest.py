"""Fixtures of the tests of data."""

import pytest


@pytest.fixture(scope="session")
def hugging_face_cache(tmp_path_factory):
    """A cache of `datasets` for the session in place of the user's; returns its folder."""
    import datasets

    folder = tmp_path_factory.mktemp("hugging_face_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        yield folder
