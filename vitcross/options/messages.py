"""Words the errors of pydantic so that they name the option, the rule and what was received."""

import re

from vitcross.typos import did_you_mean

_WORDS = {"greater_than_equal": {1: "a positive integer", 0: "zero or more"}}
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def problems_by_path(error, values):
    """`{path: problems}` of a `ValidationError`; a path is a tuple of the keys that lead to what is wrong."""
    found = {}
    for problem in error.errors(include_url=False):
        found.setdefault(_path(problem, values), []).append(problem)
    return found


def rule(problems):
    """What a value should be, from the problems that pydantic has with it: one, or one for each branch of a union."""
    return " or ".join(dict.fromkeys(_rule(problem) for problem in problems))


def constructor_message(error, values, known):
    """The message of a constructor that got `values`, a dict, and takes the names `known`."""
    sentences = []
    for path, problems in problems_by_path(error, values).items():
        name, kind = ".".join(path), problems[0]["type"]
        if kind in UNKNOWN:
            sentences.append(f"there is no option '{name}'.{did_you_mean(name, known)}")
        elif kind.startswith("missing"):
            sentences.append(f"expected {name}. Received: none")
        elif kind == "value_error":
            sentences.append(_rule(problems[0]))
        else:
            expected = rule(problems)
            expected = f"a number {expected}" if expected.startswith(("greater", "less")) else expected
            sentences.append(f"expected {expected}. Received: {name}={problems[0]['input']!r}")
    return "\n".join(sentences)


def _path(problem, values):
    """Keys that lead to a problem; pydantic's own marks for the branches of a union are left out."""
    path, node = [], values
    for part in problem["loc"]:
        known = isinstance(node, dict) and part in node
        if not known and not problem["type"].startswith("missing"):
            break
        path.append(str(part))
        node = node[part] if known else {}
    return tuple(path)


def _rule(problem):
    words = _WORDS.get(problem["type"], {}).get(next(iter(problem.get("ctx", {}).values()), None))
    if words:
        return words
    text = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return re.sub("^(List|Tuple) should have", "a list with", text).replace(" after validation", "")
