"""Renders HTML pages with Jinja2 as single files that open from disk, under a strict Content-Security-Policy.

Templates are named by their path in this package (`sweep/page.html`), and every page extends `pages/base.html`. Every
text is escaped, an undefined name in a template is an error, and scripts and styles are allowed only by their hashes,
so that an injected script could not run.
"""

from __future__ import annotations

import base64
import hashlib
import math
from importlib import resources

import jinja2
from markupsafe import Markup

from vitcross.pages.json_text import to_json
from vitcross.pages.numbers import number

MISSING = Markup('<span class="missing" title="not measured">&ndash;</span>')


def form(value, spec: str):
    """A number in a format such as `+.3f`; a dash where it is missing or not finite."""
    return MISSING if value is None or not math.isfinite(value) else format(value, spec)


TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("vitcross", ""),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {"number": number, "form": form}
# The filter `tojson` escapes `<`, so that `</script>` in a text does not end a data block.
TEMPLATES.policies |= {"json.dumps_function": to_json, "json.dumps_kwargs": {"separators": (",", ":")}}


def html_page(template: str, *, policy: str = "", styles=("pages/page.css",), scripts=(), **values) -> str:
    """A whole page.

    Args:
        template: path in this package of a template that extends `pages/base.html`.
        policy: str, further directives of the page's Content-Security-Policy, e.g. where images may come from.
        styles, scripts: paths in this package of the page's CSS and JavaScript. All scripts share one closed scope.
        values: what the template shows; `title` is the page's.
    """
    style, script = ("\n".join(map(_asset, paths)) for paths in (styles, scripts))
    script = f'(() => {{\n"use strict";\n{script}}})();\n' if script else ""
    directives = [
        "default-src 'none'",
        *([policy] if policy else []),
        f"style-src '{_hash(style)}'",
        *([f"script-src '{_hash(script)}'"] if script else []),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    inline = {"policy": "; ".join(directives), "style": style, "script": script}
    return TEMPLATES.get_template(template).render(values | {name: Markup(ours) for name, ours in inline.items()})


def _asset(path: str) -> str:
    return resources.files("vitcross").joinpath(path).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
