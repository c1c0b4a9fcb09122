import dataclasses
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.features import LISTING, PART, Failure, compare, make_plan, read_failures
from frieze.features.failures import to_failures

_IDS = st.text(st.sampled_from("ab\n\"'/é"), min_size=1, max_size=3)
_IMAGE = st.tuples(_IDS, st.sampled_from([1, 2, 13]), st.sampled_from([1, 2]))  # 13 bytes can't be decoded
_IMAGES = st.lists(_IMAGE, unique_by=lambda image: image[0], max_size=12)

NONE_FAILED = to_failures([])


def _plan(images, *, stored=None, failed=NONE_FAILED, shard_size=2, source_rows=None, **options):
    """Plan a run over a, b | c; no image's bytes are looked at."""
    stored = _stored([("a", 1, 1, 0), ("b", 1, 1, 0), ("c", 1, 1, 4)]) if stored is None else stored
    source_rows = np.full(len(images), -1) if source_rows is None else np.array(source_rows)
    return make_plan(compare(images, stored, failed), source_rows, shard_size=shard_size, **options)


def _shards(plan):
    return [(shard.part, shard.rows.tolist(), set(shard.drop)) for shard in plan.shards]


def _carry_out(now, stored, failed, shard_size=2):
    """Plan, and do in memory what a run does with the plan; gives the plan, then what is stored and failed after it."""
    plan = _plan(_images(now), stored=_stored(stored), failed=failed, shard_size=shard_size)
    failures = plan.known_failures.to_pylist()
    for shard in plan.shards:
        stored = [row for row in stored if row[3] != shard.part or row[0] not in shard.drop]
        for name, size, time in (now[row] for row in shard.rows):
            if size == 13:
                failures.append(dataclasses.asdict(Failure(name, "", "decode", "", "", size, time)))
            else:
                stored = [*stored, (name, size, time, shard.part)]
    return plan, stored, to_failures([Failure(**failure) for failure in failures])


def _images(images):
    columns = ["id", "size_bytes", "mtime_ns"]
    rows = [dict(zip(columns, image, strict=True)) | {"uri": f"/photos/{image[0]}"} for image in images]
    return pa.Table.from_pylist(rows, schema=LISTING)


def _stored(rows):
    images = _images([row[:3] for row in rows])
    return images.append_column(PART, pa.array([row[3] for row in rows], pa.int64()))


@given(before=_IMAGES, now=_IMAGES, shard_size=st.integers(1, 4))
def test_stored_is_listing_minus_failures(before, now, shard_size):
    """Whatever was stored, after a run the table holds the listing's readable images, each once, as they are now."""
    _, stored, failed = _carry_out(before, [], NONE_FAILED, shard_size)
    _, stored, failed = _carry_out(now, stored, failed, shard_size)
    assert Counter(row[:3] for row in stored) == Counter(image for image in now if image[1] != 13)
    assert sorted(failed["id"].to_pylist()) == sorted(image[0] for image in now if image[1] == 13)


@given(before=_IMAGES, now=_IMAGES)
def test_unchanged_rows_keep_their_part(before, now):
    """An image that has not changed is not embedded again, and its row stays in its part."""
    _, stored, failed = _carry_out(before, [], NONE_FAILED)
    plan, after, _ = _carry_out(now, stored, failed)
    kept = set(before) & set(now)
    assert not {now[row] for shard in plan.shards for row in shard.rows} & kept
    assert {row for row in stored if row[:3] in kept} == {row for row in after if row[:3] in kept}


@given(before=_IMAGES, now=_IMAGES)
def test_second_run_has_nothing_to_do(before, now):
    """Run again on the same source, nothing is embedded, rewritten or removed."""
    _, stored, failed = _carry_out(before, [], NONE_FAILED)
    _, stored, failed = _carry_out(now, stored, failed)
    plan, _, failed_later = _carry_out(now, stored, failed)
    assert (plan.shards, plan.n_removed) == ((), 0)
    assert plan.n_unchanged == sum(image[1] != 13 for image in now)
    assert failed_later.equals(failed)


@given(before=_IMAGES)
def test_image_that_sorts_first(before):
    """An image that sorts before all others is the only one embedded, into a new part."""
    _, stored, failed = _carry_out(before, [], NONE_FAILED)
    plan, _, _ = _carry_out([("", 1, 1), *before], stored, failed)
    assert _shards(plan) == [(max((row[3] for row in stored), default=-1) + 1, [0], set())]


@settings(max_examples=12)
@given(before=_IMAGES, now=_IMAGES)
def test_on_disk_as_in_memory(before, now, tmp_path_factory, run, glob_rows):
    """The writer carries a plan out as the laws above do: same rows, same parts, same failures."""
    path = tmp_path_factory.mktemp("plan")
    run(path, _images(before))
    run(path, _images(now))
    _, stored, failed = _carry_out(now, *_carry_out(before, [], NONE_FAILED)[1:])
    actual = [(row["id"], row["size_bytes"], row["mtime_ns"]) for row in glob_rows(path)]
    assert actual == [row[:3] for row in sorted(stored, key=lambda row: row[3])]
    assert read_failures(path)["id"].to_pylist() == failed["id"].to_pylist()


def test_new_images_are_cut_into_new_parts(images):
    """New images fill shards in the listing's order, numbered after the last part."""
    plan = _plan(images(("a", 1, 1), ("new1", 1, 1), ("b", 1, 1), ("new2", 1, 1), ("c", 1, 1), ("new3", 1, 1)))
    assert _shards(plan) == [(5, [1, 3], set()), (6, [5], set())]
    assert (plan.n_unchanged, plan.n_removed, plan.n_pending) == (3, 0, 3)


@pytest.mark.parametrize("image", [("b", 2, 1), ("b", 1, 2)])
def test_changed_image_rewrites_its_part(image, images):
    """An image of another size or time leaves its part and comes back to it."""
    plan = _plan(images(("a", 1, 1), image, ("c", 1, 1)))
    assert _shards(plan) == [(0, [1], {"b"})]


def test_removed_image_rewrites_its_part(images):
    """An image that is gone leaves its part; nothing is embedded."""
    plan = _plan(images(("a", 1, 1), ("b", 1, 1)))
    assert _shards(plan) == [(4, [], {"c"})]
    assert (plan.n_unchanged, plan.n_removed, plan.n_pending) == (2, 1, 0)


def test_empty_source_removes_all(images):
    """A source without images empties every part."""
    assert _shards(_plan(images())) == [(0, [], {"a", "b"}), (4, [], {"c"})]


def test_limit(images):
    """A limit embeds the first images that are pending and leaves the others as they are."""
    plan = _plan(images(("a", 2, 1), ("new", 1, 1), ("b", 1, 1), ("c", 2, 1)), limit=2)
    assert _shards(plan) == [(5, [1], set()), (0, [0], {"a"})]


def _failed(size=13, time=1, stage="decode"):
    return to_failures([Failure("bad", "/photos/bad", stage, "truncated", "cut", size, time)])


@pytest.mark.parametrize(("size", "n_pending", "n_known"), [(13, 0, 1), (14, 1, 0)])
def test_known_failure_waits_for_a_change(size, n_pending, n_known, images):
    """An image that failed is left alone until its size or time changes; then its failure is forgotten."""
    plan = _plan(images(("bad", size, 1)), failed=_failed())
    assert (plan.n_pending, len(plan.known_failures)) == (n_pending, n_known)


def test_failure_of_a_removed_image_is_forgotten(images):
    """A failure goes when its image does."""
    assert len(_plan(images(("a", 1, 1)), failed=_failed()).known_failures) == 0


def test_retry_failures(images):
    """A retry embeds the failures that are still there and touches nothing else."""
    plan = _plan(images(("a", 2, 1), ("bad", 13, 1), ("new", 1, 1)), failed=_failed(), retry_failures=True)
    assert _shards(plan) == [(5, [1], set())]
    assert (len(plan.known_failures), plan.n_removed) == (0, 0)


@pytest.mark.parametrize("failed", [_failed(13), _failed(14), _failed(None, None), _failed(None, None, "list")])
def test_retry_of_changed_files(failed, images):
    """A retry takes a failure whatever has become of its file, also one that could not be listed."""
    plan = _plan(images(("bad", 13, 1)), failed=failed, retry_failures=True)
    assert (_shards(plan), plan.n_left, len(plan.known_failures)) == ([(5, [0], set())], 0, 0)


def test_failures_that_are_not_retried_stay(images):
    """A failure that a limited retry does not reach is kept, whether its file has changed or not."""
    failed = to_failures([Failure(name, f"/photos/{name}", "decode", "cut", "", 13, 1) for name in "xyz"])
    plan = _plan(images(("x", 13, 1), ("y", 14, 1), ("z", 13, 1)), failed=failed, retry_failures=True, limit=1)
    assert (_shards(plan), plan.known_failures["id"].to_pylist()) == ([(5, [0], set())], ["y", "z"])


def test_failure_of_unknown_size_hides_nothing(images):
    """A failure without size or time (a repeated id) keeps neither the image nor another failure of its id alive."""
    failed = pa.concat_tables([_failed(None, None, "list"), _failed()])
    plan = _plan(images(("bad", 13, 1)), failed=failed)
    assert plan.n_pending == 0
    assert plan.known_failures["stage"].to_pylist() == ["decode"]


def test_row_left_by_a_crash(images):
    """A stored row whose image has changed and failed since leaves its part."""
    plan = _plan(images(("bad", 13, 1)), stored=_stored([("bad", 1, 1, 3)]), failed=_failed())
    assert _shards(plan) == [(3, [], {"bad"})]
    assert len(plan.known_failures) == 1
