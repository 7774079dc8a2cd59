"""Which of the uniforms of a position (`randomness.uniforms`) decides what; each has its own, so that switching one on
changes no other.
"""

NUM_STREAMS = 16
FLIP, SHIFT, VIEW, JITTER, PICTURE, TEXT = 0, slice(1, 3), slice(3, 7), slice(7, 10), 10, 11
