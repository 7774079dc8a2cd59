"""Options of models: what their constructors take, and what they must not leave open."""

import inspect


def option_names(layer_class) -> tuple[str, ...]:
    """The keyword-only arguments of a constructor, without the name."""
    parameters = inspect.signature(layer_class.__init__).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "name")


def make_part(model, layer_class, name: str):
    """A layer with those of the model's options that it has too: both call the same thing by the same name."""
    options = {key: getattr(model, key) for key in option_names(layer_class) if hasattr(model, key)}
    return layer_class(**options, dtype=model.dtype_policy, name=name)


def check_positive(model, *names: str) -> None:
    """Raises ValueError unless the model's options of these names are positive."""
    for name in names:
        if getattr(model, name) <= 0:
            raise ValueError(f"expected a positive integer. Received: {name}={getattr(model, name)}")


def check_heads(model) -> None:
    """Raises ValueError unless the model's heads divide its width."""
    if model.embed_dim % model.num_heads:
        raise ValueError(
            f"expected num_heads to divide embed_dim. "
            f"Received: num_heads={model.num_heads}, embed_dim={model.embed_dim}"
        )
