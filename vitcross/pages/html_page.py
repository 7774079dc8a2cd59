"""What all pages share: one HTML text that opens from disk, with a policy that forbids what the page does not need."""

import html
from importlib import resources


def html_page(*, title, policy, style, body):
    """A whole page.

    Args:
        title, policy: str, plain text; escaped here. The policy is a Content-Security-Policy.
        style, body: str, CSS and HTML; what they hold of strangers is escaped already.
    """
    return _TEMPLATE.format(title=html.escape(title), policy=html.escape(policy), style=style, body=body)


def stylesheet() -> str:
    """The CSS that all pages share."""
    return resources.files("vitcross.pages").joinpath("page.css").read_text(encoding="utf-8")


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
