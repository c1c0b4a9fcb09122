"""L-BFGS solver of the linear heads: losses, preconditioners, row blocks."""
