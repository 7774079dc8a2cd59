"""Loads data sets and makes batches of images, labels and texts.

A source gives random access to examples (`sources/source.py`). `ImageData` (`image_data.py`), or `ImageTextData`
(`text_data.py`) for pairs of an image and a text, combines the sources of the splits with transforms into `tf.data`
pipelines. Configurations name the functions of `load.py`. Importing this package imports neither TensorFlow nor
TensorFlow Datasets, so that a wrong command fails at once.
"""
