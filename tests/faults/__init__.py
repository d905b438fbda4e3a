"""Faults planted one at a time in a copy of the library: which of them the tests notice."""
