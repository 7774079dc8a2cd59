"""Types and limits that the keys of a configuration share."""

from typing import Annotated

from pydantic import ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

_FORBID_UNKNOWN = ConfigDict(extra="forbid")

Int = Annotated[int, Strict(), Field(le=2**31 - 1)]
Bool = Annotated[bool, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]  # an int is a float; a text is not
Count = Annotated[Int, Field(ge=1)]
CountOrZero = Annotated[Int, Field(ge=0)]
Size = Count | Annotated[list[Count], Field(min_length=2, max_length=2)]  # n, or [height, width]
Share = Annotated[Float, Field(ge=0, lt=1)]
ShareOrAll = Annotated[Float, Field(ge=0, le=1)]
Positive = Annotated[Float, Field(gt=0)]
NonNegative = Annotated[Float, Field(ge=0)]
Length = NonNegative | str  # a number of steps, or with a unit (vitcross/config/durations.py)


def config(cls):
    """A keyword-only dataclass that refuses unknown keys."""
    return dataclass(cls, config=_FORBID_UNKNOWN, kw_only=True)
