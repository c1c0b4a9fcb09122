"""`python -m frieze`: the command."""

from frieze.cli.main import main

main()
