"""What stands where in the integers that the kernels read.

A row has three loops over its cells and a term three over its summed dims; those that are missing have size 1. Where
all six meet, cells come first.
"""

from __future__ import annotations

import zlib

DIMS = 6

# the head: where blocks start and end, the answer's row, where least lengths start, number of sides; per instance the
# sizes of all fields, of the charts, of the answer and of the largest row, and of all adjoints: those of the charts,
# then those of the sides of one product
FIRST_BLOCK, END_BLOCK, ANSWER, LEAST, SIDES, FIELDS, CELLS, OUT, ROOM, ADJOINTS = range(10)
HEAD = 10

# blocks; where all turns together are a chain, the factors that its vector and its matrix come from, else -1
TURNS, FIRST_ROW, END_ROW, VECTOR, MOVE = range(5)
BLOCK = 5

# rows: how many cells, the sizes of the loops over them, where they are written, and the strides there
COUNT, SIZES, TO, TO_STEP, TO_STRIDES = 0, 1, 1 + DIMS, 2 + DIMS, 3 + DIMS
FIRST_TERM, END_TERM, FIRST_LATE, END_LATE, FIRST_PULL, END_PULL = range(3 + 2 * DIMS, 9 + 2 * DIMS)
NUMBERS = 9 + 2 * DIMS  # strides that number the cells of a row
ALTERNATIVES, NOISE = NUMBERS + DIMS, NUMBERS + DIMS + 1  # per cell; where the numbers of the row's noise start
AS_PRODUCT = NOISE + 1  # -1 where the row is none
ROW = AS_PRODUCT + 1

# products, over dims of both sides, rows, columns and summed entries: three rows that are run for them alone, each side
# a sum that is not made (its cells are the adjoints of its alternatives) and the cells that are made (rows by columns);
# the pulls of all three; how many of each dims there are
LEFT, RIGHT, MADE, FIRST_OF_PULLS, END_OF_PULLS, BOTH, DOWN, ACROSS, SUMMED = range(9)
PRODUCT = 9

# terms: how many alternatives, the sizes of the loops over them, the number of the first, strides that number them
START, FIRST_FACTOR, END_FACTOR = 1 + DIMS, 2 + DIMS, 3 + DIMS
ORDER = 4 + DIMS
TERM = ORDER + DIMS

# factors; the lengths that move one are pairs of side and stride
CHARTED, OFFSET, STEP, FIRST_LENGTH, END_LENGTH, STRIDES = range(6)
FACTOR = STRIDES + DIMS
LENGTH = 2

# pulls, one per factor that a row passes adjoints to: the row, its term (-1 where the factor gains what the cell does),
# the factor, and how its six dims are run through: lanes (each another cell), tied (summed), serial (cells meet: one by
# one)
OF_ROW, OF_TERM, TO_FACTOR, LANES, TIED, SERIAL = range(6)
LANE_SIZES, TIED_SIZES, SERIAL_SIZES = 6, 6 + DIMS, 6 + 2 * DIMS
PULL = SERIAL_SIZES + DIMS

# log-sums at a temperature; maxima; smoothed maxima of order alpha at a temperature; log-sums of which one draw takes
# all; log-sums of which a softmax of noisy alternatives takes all, or its largest entry
SOFT, MOST, TSALLIS, DRAW, GUMBEL, HARD = range(6)
TEMPERATURE, SHARPNESS, ALPHA = range(3)  # the settings of a reduction, float64; sharpness is 1 / temperature

# what a backward pass keeps of each cell of a row, float64: the log-sum, the number of what was chosen, or the
# threshold; the mass that weights are divided by, or the log-sum behind a hard choice; the mean of the tangents
CREST, MASS, MEAN = range(3)
PLANES = 3

# Triton does not look at a module's attributes when it decides whether a stored kernel still holds; kernels are given
# this number, which changes with any of them
LAYOUT = zlib.crc32(repr(sorted((k, v) for k, v in globals().items() if isinstance(v, int))).encode())
