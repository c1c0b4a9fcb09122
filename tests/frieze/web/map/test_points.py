import numpy as np

from frieze.web.facets.columns import Facet
from frieze.web.map.points import NONE, OTHER, colour_codes, coloured_values


def test_the_most_frequent_values_have_colours():
    """The thirty most frequent values get colours, in that order; others share one, and no value has its own."""
    codes = np.concatenate([np.full(3, 40), np.arange(41), np.arange(35), [-1]])
    names = [str(code) for code in range(41)]
    facet = Facet("label", "values", names, names, codes)
    values, colours = coloured_values(facet), colour_codes(facet)
    assert values == [40, *range(29)]
    assert colours[[0, 3, -1]].tolist() == [0, 1, NONE]
    assert (colours[codes == 36] == OTHER).all()


def test_each_bin_has_its_colour():
    """Bins are coloured in their order, however many rows they have."""
    facet = Facet("width", "numbers", ["5", "9"], ["5", "9"], np.array([2, 2, 0, -1, 1]))
    values, colours = coloured_values(facet), colour_codes(facet)
    assert (values, colours.tolist()) == ([0, 1, 2], [2, 2, 0, NONE, 1])
