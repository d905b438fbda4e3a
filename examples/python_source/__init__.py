"""Taggers and parsers for Python source, learned from the source files that every Python installation carries."""
