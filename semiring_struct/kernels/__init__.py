"""Algorithms on tensors that are no programs, such as the elimination that sums over spanning trees.

A kernel knows no semiring and no structure.
"""
