"""Images, labels and texts as batches: sources, transforms, the tokenizer, the pipeline and the batch contract.

A source gives random access to decoded examples (`source.py`); `ImageData` (`image_data.py`), or `ImageTextData`
(`text_data.py`) for pairs of an image and a text, joins the sources of the splits with the transforms and hands out
`tf.data` pipelines; `load.py` holds the functions that configurations name.
Importing this package imports neither TensorFlow nor TensorFlow Datasets, so that a wrong command is answered at once.
"""
