import numpy as np
import pytest

from frieze.core import InputError
from frieze.web.map.lasso import find_inside, read_lasso


def test_inside_a_polygon_with_a_dent():
    """Points in the arms of a U are inside, those between them, above and beside it are not."""
    corners = read_lasso("tsne:0,0;1,0;1,1;0.7,1;0.7,0.3;0.3,0.3;0.3,1;0,1").corners
    points = np.array([[0.1, 0.9], [0.9, 0.9], [0.5, 0.1], [0.5, 0.8], [0.5, 1.2], [1.2, 0.5]], np.float32)
    assert find_inside(points, corners).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    "text", ["", "tsne", "som:0,0;1,0;1,1", "pca:0,0;1,1", "pca:0,0;1;1,1", "pca:0,0;1,x;1,1", "pca:0,0;1,nan;1,1"]
)
def test_no_lasso(text):
    """What is no polygon, or names no map, is refused with what to type."""
    with pytest.raises(InputError) as error:
        read_lasso(text)
    assert "lasso=METHOD:x,y" in error.value.hint
