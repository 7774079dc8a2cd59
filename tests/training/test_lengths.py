import pytest

from vitcross.config.durations import to_steps


@pytest.mark.parametrize(
    ("length", "steps"),
    [
        (100, 100),
        ("100", 100),
        ("3 epochs", 31),
        ("1 epoch", 10),
        ("130 examples", 10),
        ("5 percent", 50),
        ("5%", 50),
        (0, 0),
    ],
)
def test_to_steps(length, steps):
    assert to_steps(length, batch_size=13, num_examples=134, total_steps=1000) == steps


def test_bare_number_in_epochs_and_at_least_one_step():
    assert to_steps(2, batch_size=13, num_examples=134, unit="epochs") == 21
    assert to_steps("1 example", batch_size=13, num_examples=134) == 1


@pytest.mark.parametrize("length", ["fast", "10 parsecs", "-3", "", "1e-3 epochs"])
def test_refuses(length):
    with pytest.raises(ValueError, match="warmup must be a number"):
        to_steps(length, batch_size=13, num_examples=134, name="warmup")


def test_percent_of_itself_is_refused():
    with pytest.raises(ValueError, match="cannot be in percent"):
        to_steps("5 percent", batch_size=13, num_examples=134, name="trainer.steps")
