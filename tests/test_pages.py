"""What all pages share: numbers, and templates that escape every text and refuse a name that they do not know."""

import jinja2
import numpy as np
import pytest

from vitcross.pages.html_page import TEMPLATES, form, html_page
from vitcross.pages.numbers import number


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.53125, "0.531"), (1, "1"), (1210.4, "1,210"), (999.7, "1,000"), (999.4, "999"), (5717416, "5,717,416"),
     (np.int64(1000), "1,000"), (1.2e-5, "1.2e-05"), (0.0, "0"), (float("nan"), "nan"), (1e20, "1e+20")],
)  # fmt: skip
def test_numbers_have_three_digits_and_no_exponent_for_everyday_sizes(value, text):
    assert number(value) == text


def test_four_digits_keep_what_three_round():
    assert number(999.7, 4) == "999.7" and number(999.97, 4) == "1,000" and number(0.5, 4) == "0.5"


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_what_is_not_measured_is_a_dash(missing):
    assert "not measured" in form(missing, ".2f") and form(0.125, "+.2f") == "+0.12"


def test_a_template_escapes_texts_and_knows_every_name():
    text = TEMPLATES.from_string("<p title='{{ x }}'>{{ x }}</p>{{ [x] | tojson }}").render(x="</p>'\"&")
    assert text.count("<") == 2 and text.count("'") == 2 and "\\u003c/p\\u003e" in text
    with pytest.raises(jinja2.UndefinedError):
        html_page("pages/base.html")
