"""The kernel as machine code: packed values of tiles in, window values out, nothing copied or made for a tile or a row in between.

What it does is what `fold_in_numpy` does for the same values (`features.tiles.packed_fold`), equal in every bit: doubles are added in numpy's order. It knows no
class of ours, only the numbers of a `Program`. Importing a module of it takes numba's second, and compiles nothing.
"""
