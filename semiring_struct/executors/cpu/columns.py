"""What stands where in the integers that compiled code reads: the code of a program, and the state of a run.

Every row of a program has three loops over its cells (`N0`, `N1` and the innermost, `NJ`) and every term three over its
summed dims (`SIZE_0`, `SIZE_1`, `SIZE_2`, the last the fastest); dims that a row lacks have size 1.
"""

from __future__ import annotations

LOOPS = 3
LANES = 8  # instances side by side
KEPT_BYTES = 1 << 25  # no thread keeps more chances than this from one pass to the next

# the head of a code: number of the charts' buffer, cells, whether every cell is written, entries of the largest tile,
# most alternatives of a cell, cells of the widest tile, where blocks start and end, sides, where least lengths start;
# of products: where they start and end, entries of the largest left side, of all right sides, their lines and slots;
# alternatives of all cells, those of products and moves aside
CHARTS, CELLS, WHOLE, LARGEST, MOST, WIDEST, FIRST_BLOCK, END_BLOCK, SIDES, LEAST = range(10)
FIRST_PRODUCT, END_PRODUCT, LEFT, RIGHT, SHIFTS, SLOTS, CHOICES = range(10, 17)
HEAD = 17

# blocks; the last is the answer
TURNS, FIRST_ROW, END_ROW = range(3)
BLOCK = 3

# rows
CHOOSES, ACROSS, WIDE, N0, N1, NJ, TILE = range(7)
TO, TO_STEP, TO_0, TO_1, TO_J = range(7, 12)
FIRST_TERM, END_TERM, FIRST_LATE, END_LATE, ALTERNATIVES, CHARTED, ANSWER, AS_PRODUCT, AS_MOVE = range(12, 21)
CHOICE = 21  # where the alternatives of its cells start among those of all
ROW = 22

# terms
FIRST_FACTOR, END_FACTOR, SIZE_0, SIZE_1, SIZE_2, START = range(6)
TERM = 6

# factors; the lengths that move one are pairs of side and stride
BUFFER, OFFSET, STEP, D0, D1, DJ, E0, E1, E2, SOLE, FIRST_LENGTH, END_LENGTH = range(12)
LENGTH = 2

# products: sizes and strides of the target over the loops of both sides, rows and columns; sizes of the summed ones;
# factors of either side and those that wait; whether the right side is fixed, its slot, and where its entries and its
# lines start
B0, B1, P0, P1, Q0, Q1 = range(6)
TO_B0, TO_B1, TO_P0, TO_P1, TO_Q0, TO_Q1 = range(6, 12)
K0, K1, K2, FIRST_LEFT, END_LEFT, FIRST_RIGHT, END_RIGHT, FIRST_WAIT, END_WAIT = range(12, 21)
FIXED, SLOT, AT_RIGHT, AT_SHIFT = range(21, 25)
PRODUCT = 25
# a factor of a product has its strides over the loops of both sides in D0 and D1, over those of its own side in DJ and
# `OWN`; one that waits has those over rows in these two and those over columns in E0 and E1
OWN = 12
FACTOR = 13

# the state of a thread: addresses of scratch buffers, wide ones first
X_WIDE, TOP_WIDE, HEAD_WIDE, CREST, VALUE = range(5)
X, WEIGHTS, MOVED, HEAD_NARROW, SHARES, SHARES_DOT, TOP, NORM, FLOW, FLOW_DOT = range(5, 15)
ADJOINT, ADJOINT_DOT, DOT = range(15, 18)
# of products: left sides (logarithms, exponentials, adjoints), right sides (the same, and adjoints that are complete),
# shifts of the lines of right sides (wide), and whether slots are filled
LEFT_LOG, LEFT_EXP, LEFT_ADJOINT = range(18, 21)
RIGHT_LOG, RIGHT_EXP, RIGHT_ADJOINT, RIGHT_DONE = range(21, 25)
SHIFT, FILLED = 25, 26
# what belongs to the present instance
CHARTS_NOW, VALUE_NOW, LENGTHS_NOW, SEED_NOW, RISE_NOW, STILL_NOW, KEY_NOW = range(27, 34)
FIELDS_NOW, DOTS_NOW, SLOPES_NOW = range(34, 37)
# the same for the whole batch: address of the first and bytes from one to the next; of banks of fields one pair each
KEY = 37
CHARTS_ALL, VALUE_ALL, LENGTHS_ALL, SEED_ALL, RISE_ALL = range(38, 48, 2)
FIELDS_ALL, DOTS_ALL, SLOPES_ALL = range(48, 51)
FIELDS, OUT, SIZES, REFUSED = 51, 52, 53, 54  # sizes of fields; whether one of them holds NaN or +inf
# of the present instance: which alternatives are largest, int32; what one pass keeps for the next, chances of
# alternatives and, where these take the place of slopes, their sum for each cell. Then, as above, of a few instances
PICKS_NOW, CHANCES_NOW, MASSES_NOW = range(55, 58)
PICKS_ALL, CHANCES_ALL, MASSES_ALL = range(58, 64, 2)
KEPT_NOW, KEPT_ALL = 64, 65  # of fields, where chances of a sole reader are kept from one pass to the next
STATE = 66
