"""The learning curve: heads on more and more answers, measured on the same held-out ones."""

from frieze.classifiers import learning_curve, teach


def test_the_last_point_is_teach(vectors, answer):
    """The point of all answers says what `teach` says of them, with its interval."""
    answers = answer([0, 90, 1, 91, 120, 2, 95, 121, 40, 110], held_out=[40, 110])
    last, taught = learning_curve(vectors, answers)[-1], teach(vectors, answers)
    assert (last.n_answers, last.n_right, last.accuracy) == (8, taught.n_right, taught.accuracy)
    assert last.interval == taught.interval


def test_the_order_counts(vectors, answer):
    """A head that has seen two of three labels is wrong on the third; later it is right. With one label is no point."""
    held_out = [130, 131, 132, 133]
    points = learning_curve(vectors, answer([0, 1, 90, 91, 120, 121, 122, 92, 2, *held_out], held_out))
    assert [point.n_answers for point in points] == [3, 4, 5, 6, 7, 8, 9]
    assert points[0].accuracy < 0.5 < points[-1].accuracy


def test_few_points(vectors, answer):
    """However many answers there are, the points are few, and the last one has all."""
    points = learning_curve(vectors, answer(range(50, 150), held_out=range(130, 150)))
    assert (len(points) <= 12, points[-1].n_answers) == (True, 80)


def test_nothing_to_measure(vectors, answer):
    """Without a held-out answer there is no curve."""
    assert learning_curve(vectors, answer([0, 90])) == []
