"""A network that starts from the weights of another run: other classes, another size of images."""

from vitcross.layers.position_embedding import PositionEmbedding
from vitcross.training.checkpoint import variables_by_path

MAY_BE_NEW = ("head/", "pooling/")  # what a network may have that its source has not


def initialize(network, source, *, same_classes):
    """Give a network the weights of another one wherever both have them.

    Positions are resampled to the grid of the network's own images. A head for other classes keeps its new weights,
    and so does a pooling that the source does not have. Networks of different kinds share their towers of images.

    Args:
        network: built `keras.Model` of `vitcross.models`.
        source: another one, with trained weights.
        same_classes: bool, whether both have the same classes (or answers) in the same order.

    Returns:
        dict of list of str, variable paths: `copied`, `resampled`, `anew` of the network, `not used` of the source.

    Raises:
        ValueError: names the variables that the source lacks or has in another shape.
    """
    target, part = shared_parts(network, source)
    own, known = variables_by_path(target), variables_by_path(part)
    grids, their_grids = _position_layers(target), _position_layers(part)
    shared = {id(variable) for variable in own.values()}
    found = {"copied": [], "resampled": [], "anew": [v.path for v in network.weights if id(v) not in shared]}
    problems = []
    for path, variable in own.items():
        theirs = known.get(path)
        if path.startswith(MAY_BE_NEW) and theirs is None or path.startswith("head/") and not same_classes:
            found["anew"].append(path)
            continue
        value, how = _value(variable, theirs, grids.get(id(variable)), their_grids.get(id(theirs)))
        if value is None:
            has = "missing" if theirs is None else tuple(theirs.shape)
            problems.append(f"{path} {tuple(variable.shape)}, there {has}")
            continue
        variable.assign(value)
        found[how].append(path)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"init_from must be a run of a model that fits this one. {'; '.join(problems[:5])}{more}")
    taken = {*found["copied"], *found["resampled"]}
    return found | {"not used": [path for path in known if path not in taken]}


def shared_parts(network, source):
    """`(of the network, of the source)`: both as they are where they are of one kind, else their towers of images."""
    if type(network) is type(source):
        return network, source
    return tuple(getattr(model, "image_encoder", model) for model in (network, source))


def _position_layers(model):
    """id of a variable -> the layer whose learned positions it holds."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, PositionEmbedding)]
    return {id(layer.embeddings): layer for layer in layers if layer.method == "learned"}


def _value(variable, theirs, layer, their_layer):
    """`(value, how)` of a variable in the source; value None where it has none that fits."""
    if theirs is None:
        return None, None
    if layer is None or their_layer is None or layer.grid == their_layer.grid:
        return (theirs.value, "copied") if theirs.shape == variable.shape else (None, None)
    same = layer.num_prefix_positions == their_layer.num_prefix_positions and variable.shape[-1] == theirs.shape[-1]
    return (their_layer.positions(layer.grid), "resampled") if same else (None, None)
