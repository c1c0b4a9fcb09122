"""Run the mutation check: python -m tools.mutation; --help lists the options."""

from tools.mutation.check import main

main()
