"""Groups around a keeper, with what the pixels say given as a table."""

import numpy as np
import pytest

from frieze.indexing.duplicates import groups as module
from frieze.indexing.duplicates.compare import Match
from frieze.indexing.duplicates.groups import group_copies

SAME = Match((1.0, 1.0))
CROP = Match((0.6, 1.0))
"""The second is a crop of the first."""


class Judge:
    """Compares by a table of matches, smaller row first; any other pair is no copy."""

    def __init__(self, matches):
        self.matches, self.compared, self.thorough = matches, [], []

    def __call__(self, pairs, by_features):
        """Return the matches of pairs, and note them."""
        chosen = [tuple(pair) for pair in pairs.tolist()]
        assert all(row < other for row, other in chosen)
        self.compared += chosen
        self.thorough += [pair for pair, is_thorough in zip(chosen, by_features, strict=True) if is_thorough]
        return [self.matches.get(pair) for pair in chosen]


def group(matches, *, candidates=None, ranks=range(10), steps=None):
    """Return the groups as {keeper: {row: match}} and the judge; candidates are all pairs that match by default."""
    judge = Judge(matches)
    pairs = np.array(sorted(matches if candidates is None else candidates), np.int64).reshape(-1, 2)
    progress = (lambda *_: None) if steps is None else (lambda *step: steps.append(step))
    groups = group_copies(pairs, np.zeros(len(pairs), bool), np.array(ranks), judge, progress)
    return {one.keeper: one.copies for one in groups}, judge


def test_the_best_is_kept():
    """Of copies the one of the lowest rank is kept, and the matches are those of the others with it."""
    matches = {(0, 1): SAME, (0, 2): CROP, (1, 2): CROP}
    assert group(dict.fromkeys(matches, SAME), ranks=[2, 0, 1])[0] == {1: {0: SAME, 2: SAME}}
    assert group({(0, 1): CROP.swapped()}, ranks=[0, 1])[0] == {1: {0: CROP}}


def test_no_copies_no_groups():
    """Where the pixels confirm nothing there is no group; nor without candidates."""
    assert group({}, candidates=[(0, 1), (1, 2)])[0] == {}
    assert group({})[0] == {}


def test_every_member_is_confirmed_against_the_keeper():
    """Members that only a chain of pairs connects with the keeper are compared with it, thoroughly."""
    matches = {(0, 1): SAME, (1, 2): SAME, (0, 2): CROP}
    groups, judge = group(matches, candidates=[(0, 1), (1, 2)])
    assert groups == {0: {1: SAME, 2: CROP}}
    assert judge.thorough == [(0, 2)]


def test_chains_are_split():
    """What is no copy of the keeper leaves its group, and those that are left make groups of their own."""
    matches = {(0, 1): SAME, (1, 2): SAME, (2, 3): SAME, (3, 4): SAME, (4, 5): SAME}
    assert group(matches)[0] == {0: {1: SAME}, 2: {3: SAME}, 4: {5: SAME}}
    assert group({(0, 1): SAME, (1, 2): SAME})[0] == {0: {1: SAME}}


@pytest.mark.parametrize(
    "made",
    [
        CROP,
        Match((1.0, 0.7), framed=(False, True)),
        Match((1.0, 1.0), grey=(False, True)),
        Match((1.0, 1.0), overlaid=1),
    ],
)
def test_an_original_is_kept(made):
    """An original is kept before a better-ranked image that was made of it: a crop, a framed, grey or overlaid one."""
    assert group({(0, 1): made}, ranks=[1, 0])[0] == {0: {1: made}}
    assert group({(0, 1): made.swapped()}, ranks=[0, 1])[0] == {1: {0: made}}


def test_a_keeper_that_turns_out_to_be_a_crop():
    """Where comparing the keeper with the rest of its chain shows that it is a crop, the original is kept."""
    matches = {(0, 1): SAME, (1, 2): SAME, (0, 2): CROP.swapped()}
    groups, judge = group(matches, candidates=[(0, 1), (1, 2)], ranks=[0, 2, 1])
    assert groups == {2: {0: CROP, 1: SAME}}
    assert judge.compared.count((1, 2)) == 1


def test_what_was_asked_for_is_kept():
    """An image of a negative rank, asked for by a pattern, is kept though it was made of another."""
    assert group({(0, 1): CROP}, ranks=[0, -1])[0] == {1: {0: CROP.swapped()}}


def test_lost_lights_tell_the_original():
    """What lost its lights is not kept before the image that has them, though others were made of it too."""
    bright, grey = Match((1.0, 1.0), recoloured=True, clipped=(True, False)), Match((1.0, 1.0), grey=(False, True))
    matches = {(0, 1): bright, (0, 2): grey, (0, 3): grey, (1, 2): grey, (1, 3): grey}
    groups, _ = group(matches, candidates=[(0, 1), (0, 2), (0, 3)])
    assert groups == {1: {0: bright.swapped(), 2: grey, 3: grey}}


def test_a_keeper_is_compared_thoroughly():
    """A pair that did not match without local features is compared with them once one of the two is a keeper."""

    def compare(pairs, by_features):
        return [
            None if pair == [0, 1] and not thorough else SAME
            for pair, thorough in zip(pairs.tolist(), by_features.tolist(), strict=True)
        ]

    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    (one,) = group_copies(pairs, np.zeros(3, bool), np.arange(3), compare, lambda *_: None)
    assert (one.keeper, one.copies) == (0, {1: SAME, 2: SAME})


def test_joined_pairs_are_not_compared():
    """Candidates that a chain of copies connects already are compared with the keeper only, each once."""
    everybody = [(row, other) for row in range(8) for other in range(row + 1, 8)]
    groups, judge = group(dict.fromkeys(everybody, SAME))
    assert groups == {0: dict.fromkeys(range(1, 8), SAME)}
    pairs_of_keeper, chain = [(0, row) for row in range(1, 8)], [(row, row + 1) for row in range(1, 7)]
    assert sorted(judge.compared) == [*pairs_of_keeper, *chain]


@pytest.mark.parametrize("block", [1, 2, 4096])
def test_blocks_of_pairs(block, monkeypatch):
    """The groups do not depend on how many candidates are taken at once; progress goes from none to all."""
    monkeypatch.setattr(module, "_BLOCK", block)
    steps, matches = [], {(0, 1): SAME, (0, 2): SAME, (3, 4): SAME, (1, 2): SAME, (5, 6): CROP}
    assert group(matches, steps=steps)[0] == {0: {1: SAME, 2: SAME}, 3: {4: SAME}, 5: {6: CROP}}
    assert (steps[0], steps[-1]) == ((0, 5), (5, 5))


@pytest.mark.parametrize("n_pairs", [0, 1, 5, 64, 1000])
def test_streams_of_pairs(n_pairs, monkeypatch):
    """Each block holds a piece of each of four parts of the pairs, in order; together they hold each pair once."""
    monkeypatch.setattr(module, "_BLOCK", 32)
    blocks = [block.tolist() for block in module._blocks(n_pairs)]
    assert sorted(at for block in blocks for at in block) == list(range(n_pairs))
    assert all(block == sorted(block) and len(block) <= 32 for block in blocks)
    if n_pairs == 1000:
        assert blocks[0] == [start + at for start in (0, 250, 500, 750) for at in range(8)]
