"""Declares where an option has an effect, and finds the options of a section that have none.

A class of options says it in `MATTERS`, a dict from the name of an option to a rule; dotted names lead into sections.
"""

import dataclasses
from collections.abc import Callable

from vitcross.options.fields import inner_options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """Where an option has an effect.

    Args:
        names: of the options that decide it, as seen from the class that declares the rule.
        needs: words behind these names, e.g. `=wsd or rsqrt`; without names, why the option never has an effect.
        holds: takes the values of these options.
    """

    names: tuple[str, ...]
    needs: str
    holds: Callable

    def message(self, key, prefix, find):
        """One sentence that names the key, the rule and what was received; `find` gives the value of a key."""
        received = f"Received: {key}={shown(find(key))}"
        if not self.names:
            return f"{key} has no effect: {self.needs}. {received}"
        names = [f"{prefix}{name}" for name in self.names]
        others = ", ".join(f"{name}={shown(find(name))}" for name in names)
        return f"{key} has an effect only with {' or '.join(names)}{self.needs}. {received}, {others}"


def only_with(name, *values):
    """An effect only where another option has one of these values."""
    texts = [shown(value) for value in values]
    listed = " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
    return Rule(names=(name,), needs=f"={listed}", holds=lambda value: value in values)


def only_above(least, *names):
    """An effect only where one of these options is above a number; null, a number known later, counts as above."""
    return Rule(
        names=names,
        needs=f" above {least}",
        holds=lambda *values: any(value is None or value > least for value in values),
    )


def never(reason):
    """No effect at all, in this class."""
    return Rule(names=(), needs=reason, holds=lambda: False)


def without_effect(options_class, values, prefix=""):
    """`(key, message)` of each option in a section that has no effect, inner sections included.

    Args:
        options_class: that checks the section.
        values: dict, the section, validated.
        prefix: of its keys, e.g. `data.`.
    """

    def find(key):
        return value_at(values, key.removeprefix(prefix))

    rules = {}
    for base in reversed(options_class.__mro__):
        rules |= vars(base).get("MATTERS", {})
    for name, rule in rules.items():
        deciding = [value_at(values, decides) for decides in rule.names]
        if value_at(values, name, MISSING) is not MISSING and not rule.holds(*deciding):
            yield f"{prefix}{name}", rule.message(f"{prefix}{name}", prefix, find)
    for name, field in options_class.__pydantic_fields__.items():
        inner = inner_options(field)
        if inner and isinstance(values.get(name), dict):
            yield from without_effect(inner, values[name], f"{prefix}{name}.")


MISSING = object()


def value_at(values, name, default=None):
    """The value of a dotted name in nested dicts."""
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            return default
        values = values[part]
    return values


def shown(value):
    """A value as it is typed."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
