"""Weights from elsewhere: one reader per source, and the check that a state dict fits a net."""
