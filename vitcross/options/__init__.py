"""Declares the options of a run in classes: names, types, limits, defaults, and what each means.

Validation, constructors and `get_config` follow from these classes; the chosen values are in `conf/`. Nothing here
imports Keras or TensorFlow, so that a wrong command is answered in a second or two.
"""
