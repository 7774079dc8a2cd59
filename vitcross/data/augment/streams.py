"""Assigns the uniforms of a position (`randomness.uniforms`) to their uses, so that enabling one changes no other.

They come in blocks of `BLOCK` with separate keys: adding a block does not change the values of earlier blocks.
"""

BLOCK, NUM_BLOCKS = 16, 3
NUM_STREAMS = BLOCK * NUM_BLOCKS
FLIP, SHIFT, VIEW, JITTER, IMAGE, TEXT = 0, slice(1, 3), slice(3, 7), slice(7, 10), 10, 11
RANDAUGMENT, THREE_AUGMENT, ERASING = slice(16, 24), slice(24, 26), slice(26, 32)
MIXING = slice(32, 37)
