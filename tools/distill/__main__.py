"""Distil larger backbones into a small one: python -m tools.distill IMAGES --teacher BACKBONE --out NAME.keras."""

from tools.distill.cli import main

main()
