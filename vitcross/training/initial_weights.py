"""Initializes a network from the weights of another one, which may have other classes or another image size."""

from vitcross.layers.position_embedding import PositionEmbedding
from vitcross.training.checkpoint import variables_by_path

MAY_BE_NEW = ("head/", "pooling/")  # layers that the source may lack


def initialize(network, source, *, same_classes):
    """Copy the weights of `source` to `network` wherever both have them.

    Position embeddings are resampled to the network's patch grid. A head for other classes and a pooling that
    the source lacks keep their initial weights. Models of different types share only their image encoder.

    Args:
        network: built `keras.Model` of `vitcross.models`.
        source: another one, with trained weights.
        same_classes: bool, whether both have the same classes (or answers) in the same order.

    Returns:
        dict of list of str, variable paths: `copied`, `resampled`, `re-initialized` of the network, `unused` of the
        source.

    Raises:
        ValueError: names the variables that the source lacks or has in another shape.
    """
    target, part = shared_parts(network, source)
    own, known = variables_by_path(target), variables_by_path(part)
    grids, their_grids = _position_layers(target), _position_layers(part)
    shared = {id(variable) for variable in own.values()}
    new = [v.path for v in network.weights if id(v) not in shared]
    found = {"copied": [], "resampled": [], "re-initialized": new}
    problems = []
    for path, variable in own.items():
        theirs = known.get(path)
        if path.startswith(MAY_BE_NEW) and theirs is None or path.startswith("head/") and not same_classes:
            new.append(path)
            continue
        value, how = _value(variable, theirs, grids.get(id(variable)), their_grids.get(id(theirs)))
        if value is None:
            has = "missing" if theirs is None else tuple(theirs.shape)
            problems.append(f"{path} {tuple(variable.shape)}, there: {has}")
            continue
        variable.assign(value)
        found[how].append(path)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"init_from must be a run of a model that fits this one. {'; '.join(problems[:5])}{more}")
    taken = {*found["copied"], *found["resampled"]}
    return found | {"unused": [path for path in known if path not in taken]}


def shared_parts(network, source):
    """The models themselves if they are of one type, else their image encoders: `(of network, of source)`."""
    if type(network) is type(source):
        return network, source
    return tuple(getattr(model, "image_encoder", model) for model in (network, source))


def _position_layers(model):
    """Dict of the id of a variable to the layer whose learned positions it holds."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, PositionEmbedding)]
    return {id(layer.embeddings): layer for layer in layers if layer.method == "learned"}


def _value(variable, theirs, layer, their_layer):
    """`(value, "copied" or "resampled")` of a variable in the source; `(None, None)` if nothing there fits."""
    if theirs is None:
        return None, None
    if layer is None or their_layer is None or layer.grid == their_layer.grid:
        return (theirs.value, "copied") if theirs.shape == variable.shape else (None, None)
    same = layer.num_prefix_positions == their_layer.num_prefix_positions and variable.shape[-1] == theirs.shape[-1]
    return (their_layer.positions(layer.grid), "resampled") if same else (None, None)
