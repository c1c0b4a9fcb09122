"""Teach a small network what larger ones see: python -m tools.distill IMAGES --teacher BACKBONE --out NAME.keras."""

from tools.distill.cli import main

main()
