"""One module per command: it parses, calls the function of the same name in `frieze.api`, and prints."""
