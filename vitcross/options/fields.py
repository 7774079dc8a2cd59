"""Defines the types and limits that options share, and the decorator that makes a class of options."""

import dataclasses
import functools
import math
from pathlib import PurePath
from typing import Annotated, get_args

from pydantic import BeforeValidator, ConfigDict, Field, Strict, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from vitcross.height_and_width import height_and_width
from vitcross.options.messages import constructor_message
from vitcross.paths import typed_path

Int = Annotated[int, Strict(), Field(le=2**31 - 1)]
Bool = Annotated[bool, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]  # an int is a float; a text is not
Count = Annotated[Int, Field(ge=1)]
CountOrZero = Annotated[Int, Field(ge=0)]
Share = Annotated[Float, Field(ge=0, lt=1)]
ShareOrAll = Annotated[Float, Field(ge=0, le=1)]
PositiveShare = Annotated[Float, Field(gt=0, le=1)]
Positive = Annotated[Float, Field(gt=0)]
NonNegative = Annotated[Float, Field(ge=0)]
# A path that a user types; it is absolute where options are made (`vitcross/paths.py`).
PathText = Annotated[
    str, BeforeValidator(lambda value: typed_path(value) if isinstance(value, str | PurePath) else value)
]
Length = NonNegative | str  # a number of steps, or with a unit (vitcross/config/durations.py)


def _as_size(value):
    try:
        return height_and_width(value)
    except (ValueError, TypeError):
        raise PydanticCustomError("size", "an int > 0 or a (height, width) pair of them") from None


Size = Annotated[tuple[int, int], BeforeValidator(_as_size)]  # a single number is kept as the pair


def _as_range(value):
    numbers = isinstance(value, (list, tuple)) and all(type(one) in (int, float) for one in value)
    if not (numbers and len(value) == 2 and -math.inf < value[0] < value[1] < math.inf):
        raise PydanticCustomError("value_range", "[low, high], two numbers of which the first is smaller")
    return tuple(value)


ValueRange = Annotated[tuple[int | float, int | float], BeforeValidator(_as_range)]


def options(cls):
    """A frozen, keyword-only dataclass whose fields are checked where it is made.

    Its constructor raises ValueError for an unknown name, a wrong type, a value out of its limits, and for what the
    `__post_init__` of the class refuses. Validation of a configuration (`vitcross.config.validate`) finds the same.
    """
    made = dataclass(cls, config=ConfigDict(extra="forbid"), kw_only=True, frozen=True)
    validated = made.__init__

    @functools.wraps(validated)
    def __init__(self, **values):
        try:
            validated(self, **values)
        except ValidationError as error:
            raise ValueError(constructor_message(error, values, names(made))) from None

    made.__init__ = __init__
    return made


def inner_options(field):
    """The class of options that a field of pydantic holds, also where it may be None; None for any other field."""
    return next(filter(dataclasses.is_dataclass, (field.annotation, *get_args(field.annotation))), None)


def names(options_class):
    """The names of the options of a class, in the order in which they are declared."""
    return tuple(field.name for field in dataclasses.fields(options_class))
