"""Loops over rows and recursions, on arrays, with their reference twins."""
