"""Write the graph of `builtin` that comes with the package: python -m tools.distill.ship_graph."""

import frieze.embedder

if __name__ == "__main__":
    frieze.embedder.ship_graph(frieze.embedder.load_backbone(frieze.embedder.BackboneRequest()))
