"""Finds the splits of a Hugging Face data set, evaluates split expressions, and cuts off a validation split."""

import numpy as np
import pyarrow as pa

from vitcross.data.sources.splits import SPLIT_NAMES


def split_expressions(names, *, typed):
    """dict of split to the expression that gives it: what was typed, else the split of a usual name.

    Args:
        names: list of str, the splits of the data set.
        typed: dict of `train`, `validation` and `test` to an expression or None.

    Raises:
        ValueError: for an expression of unknown splits, and where no split to train on is known.
    """
    found = {}
    for split, usual in SPLIT_NAMES.items():
        if typed.get(split) is not None:
            instructions(typed[split], dict.fromkeys(names, 100), key=f"data.{split}_split")
            found[split] = typed[split]
        else:
            known = [name for each in usual for name in names if name.casefold() == each]
            if known:
                found[split] = known[0]
    if "train" not in found and len(names) == 1:
        found["train"] = names[0]
    if "train" not in found:
        raise ValueError(f"data.train_split must name one of {', '.join(names)}. Received: null")
    return found


def instructions(expression, sizes, *, key):
    """List of (split, first row, end) of an expression such as `train[:90%]` or `train+validation`.

    Args:
        expression: str.
        sizes: dict of split name to its number of rows.
        key: str, the key where it was typed.

    Raises:
        ValueError: for an unknown split or an expression that cannot be read.
    """
    from datasets import ReadInstruction

    try:
        absolute = ReadInstruction.from_spec(expression).to_absolute(sizes)
    except (ValueError, AssertionError, KeyError) as error:
        raise ValueError(
            f"{key} must be one of {', '.join(sizes)} or an expression of them such as '{next(iter(sizes))}[:90%]'. "
            f"Received: {expression} ({str(error).splitlines()[0]})"
        ) from None
    return [
        (each.splitname, each.from_ or 0, sizes[each.splitname] if each.to is None else each.to) for each in absolute
    ]


def columns_of(splits, parts, names):
    """dict of column name to a `pyarrow.ChunkedArray` of its values in the `parts` (`instructions`) of `splits`."""
    pieces = {name: [] for name in names}
    for split, start, end in parts:
        table, rows = splits[split].data, splits[split]._indices
        for name in names:
            column = table.column(name)
            if rows is not None:  # a set that was shuffled or filtered
                column = column.take(rows.column(0))
            pieces[name] += column.slice(start, end - start).chunks
    types = {name: next(iter(splits.values())).data.column(name).type for name in names}
    return {name: pa.chunked_array(chunks, types[name]) for name, chunks in pieces.items()}


def cut(groups, share, seed):
    """Which examples are cut off: `share` of each group, at least one and never all; (n,) bool.

    Args:
        groups: (n,) integers >= 0, e.g. the classes.
        share: float in (0, 1).
        seed: int; another one cuts off others. Examples that are appended change little.
    """
    keys = np.random.default_rng([seed, 0x5917]).random(len(groups))
    order = np.lexsort((keys, groups))
    counts = np.bincount(groups)
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    number = np.minimum(np.maximum(1, np.rint(share * counts)), counts - 1)
    chosen = np.zeros(len(groups), np.bool_)
    chosen[order] = rank < number[groups[order]]
    return chosen
