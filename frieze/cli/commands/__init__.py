"""One module a command: it parses, calls the function of the same name in `frieze.api.tables`, and prints."""
