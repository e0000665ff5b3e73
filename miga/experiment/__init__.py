"""Experiments: a suite read and checked, its videos made, resumed and accounted for."""
