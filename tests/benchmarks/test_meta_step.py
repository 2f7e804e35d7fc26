"""The benchmark compares equal things and reports what it measured."""

