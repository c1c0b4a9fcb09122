"""The solver of the linear heads."""
