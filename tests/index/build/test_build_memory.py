import json
import subprocess
import sys

import pytest

from frieze.core import parse_size

_BUILD = """
import json, sys
from pathlib import Path
import frieze.indexing as index; import faiss; import pyarrow.parquet; import frieze.features as features
start = int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024
open("/proc/self/clear_refs", "w").write("5")
document = index.build_index(features.open_features(sys.argv[1]), Path(sys.argv[2]), max_build_memory=sys.argv[3])
peak = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
print(json.dumps({"beyond": peak - start, "kind": document["kind"], "recall": document["recall_at_10"]}))
"""


@pytest.fixture
def large(tmp_path, clustered, write_table):
    """A table whose embeddings alone take 410 MB."""
    return write_table(tmp_path / "t", clustered(400_000, 256), part_rows=50_000)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_build_keeps_its_memory_limit(tmp_path, large):
    """Building takes no more memory than its limit, though the embeddings alone take more."""
    command = [sys.executable, "-c", _BUILD, large.path, tmp_path / "i", "340MB"]
    actual = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert actual["beyond"] <= parse_size("340MB")
    assert actual["recall"] >= 0.95
    assert actual["kind"] != "exact"
