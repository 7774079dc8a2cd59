"""A network that starts from the weights of another run: other classes, another size of pictures."""

from vitcross.layers.position_embedding import PositionEmbedding


def initialize(network, source, *, same_classes):
    """Give a network the weights of another one wherever both have them.

    Positions are resampled to the grid of the network's own pictures. The head keeps its new weights where the classes
    are others. Of an image-text model and a classifier the towers of pictures are what both have.

    Args:
        network: built `keras.Model` of `vitcross.models`.
        source: another one, with trained weights.
        same_classes: bool, whether both have the same classes (or answers) in the same order.

    Returns:
        dict of list of str, variable paths: `copied`, `resampled`, `anew`.

    Raises:
        ValueError: names the variables that the source lacks or has in another shape.
    """
    if hasattr(network, "image_encoder") != hasattr(source, "image_encoder"):
        source = getattr(source, "image_encoder", source)
    whole = hasattr(network, "image_encoder") == hasattr(source, "image_encoder")
    target = network if whole else network.image_encoder
    known, own = _by_path(source), _by_path(target)
    found = {"copied": [], "resampled": [], "anew": [v.path for v in network.weights if id(v) not in _ids(own)]}
    problems = []
    for path, variable in own.items():
        if path.startswith("head/") and not same_classes:
            found["anew"].append(path)
        elif path in known and known[path].shape == variable.shape:
            variable.assign(known[path].value)
            found["copied"].append(path)
        elif (positions := _resampled(path, target, source)) is not None:
            variable.assign(positions)
            found["resampled"].append(path)
        else:
            has = tuple(known[path].shape) if path in known else "missing"
            problems.append(f"{path} {tuple(variable.shape)}, there {has}")
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"init_from must be a run of a model that fits this one. {'; '.join(problems[:5])}{more}")
    return found


def _by_path(model):
    """Variables by their path inside the model, which may be a tower of another one."""
    return {v.path.rpartition(f"{model.name}/")[2]: v for v in model.weights}


def _ids(variables):
    return {id(v) for v in variables.values()}


def _resampled(path, target, source):
    """Positions of the source for the grid of the target, (R + P, D); None where that is not what differs."""
    layers = [_layer_with(model, path) for model in (target, source)]
    if not all(isinstance(layer, PositionEmbedding) for layer in layers):
        return None
    own, known = layers
    same = own.num_prefix_positions == known.num_prefix_positions
    return known.positions(own.grid) if same and own.embeddings.shape[-1] == known.embeddings.shape[-1] else None


def _layer_with(model, path):
    for layer in model._flatten_layers():
        if any(v.path.endswith(f"{model.name}/{path}") for v in layer._trainable_variables):
            return layer
    return None
