"""Run the mutation check: python -m tools.mutation [--seed SEED] [--mutants N] [--limit-s SECONDS] [--each-s SECONDS]."""

from tools.mutation.check import main

main()
