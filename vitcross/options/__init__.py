"""The classes that own the options of a run: names, types, limits, defaults, and what each means.

A class is the one place that declares its options: the configuration is validated by it, a constructor takes its
options by it, `get_config` lists them by it. Nothing here imports Keras or TensorFlow, so that a wrong command is
answered in a second or two. What is chosen stands in `conf/`.
"""
