"""Which of the uniforms of a position (`randomness.uniforms`) decides what; each has its own, so that switching one on
changes no other.

They come in blocks of `BLOCK`, each with a key of its own: a further block changes no value of those before it.
"""

BLOCK, NUM_BLOCKS = 16, 3
NUM_STREAMS = BLOCK * NUM_BLOCKS
FLIP, SHIFT, VIEW, JITTER, IMAGE, TEXT = 0, slice(1, 3), slice(3, 7), slice(7, 10), 10, 11
RANDAUGMENT, THREE_AUGMENT, ERASING = slice(16, 24), slice(24, 26), slice(26, 32)
MIXING = slice(32, 37)
