"""One run for all attacks: trained on hostile names, evaluated, in real processes."""

import shutil

import pytest

from tests.security import hostile
from tests.tiny_texts import SHORT


@pytest.fixture(scope="session")
def folder_run(tmp_path_factory):
    """A run on an image folder of hostile names, evaluated on a split and on its own images: `(folder, outputs)`."""
    top = tmp_path_factory.mktemp("hostile")
    data, folder = hostile.write_folder(top / "images"), top / "run"
    length = ["data.batch_size=8", "data.validation_share=0.3", "trainer.log_every=1"]
    outputs = [
        hostile.run(
            "train.py",
            "data=image_folder",
            f"data.root={data}",
            *hostile.TINY,
            *SHORT,
            *length,
            f"hydra.run.dir={folder}",
        ),
        hostile.run("evaluate.py", f"run={folder}", hostile.NO_WANDB, "num_probes=3", "num_trust=5"),
    ]
    own = top / "own"
    own.mkdir()
    for k, text in enumerate(hostile.ALL):
        shutil.copy(next((data / hostile.CLASSES[0]).glob("*0.png")), own / hostile.file_name(text, f"{k}.png"))
    (own / hostile.file_name(hostile.LINES, ".png")).write_bytes(b"no image")
    outputs.append(hostile.run("evaluate.py", f"run={folder}", f"images={own}", hostile.NO_WANDB))
    return folder, [(done.stdout + done.stderr).decode() for done in outputs]
