import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from frieze.embedder.backbones.catalogue import BUILTIN_FILE
from frieze.embedder.backbones.kept_graph import SHIPPED

ROOT = Path(__file__).parents[1]
LINKS = {"embedder": "embedder", "indexing": "index", "classifiers": "classifiers", "features": "features"}
"""Import name below `frieze` -> folder of the checkout."""
USERS_FILES = ("features", "index", "embedder", "classifiers")


def build(root, kind, to):
    """Build a distribution of a source folder; return its file."""
    line = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(to)]
    subprocess.run(line, cwd=root, check=True, capture_output=True)
    (file,) = to.glob("frieze-*.whl" if kind == "wheel" else "frieze-*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheel of the checkout, and one that is built from its source distribution."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("direct", "sdist", "source", "indirect")}
    shutil.unpack_archive(build(ROOT, "sdist", folders["sdist"]), folders["source"], filter="data")
    (source,) = folders["source"].iterdir()
    return {"checkout": build(ROOT, "wheel", folders["direct"]), "sdist": build(source, "wheel", folders["indirect"])}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["checkout", "sdist"])
def test_wheel(wheels, source):
    """What pip installs stays below 6.5 MB, is `frieze` alone, and holds the built-in network and the page."""
    assert wheels[source].stat().st_size < 6.5e6
    names = set(zipfile.ZipFile(wheels[source]).namelist())
    assert {name.split("/")[0] for name in names if not name.startswith("frieze-")} == {"frieze"}
    assert f"frieze/embedder/backbones/{BUILTIN_FILE.name}" in names
    graph = [f"frieze/embedder/backbones/{SHIPPED.name}/{name}" for name in ("graph.json", "model.bin", "model.xml")]
    assert set(graph) < names
    folders = [ROOT / "frieze" / name for name in ("reports", "web")]
    page = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".js", ".css", ".html")]
    assert {str(path.relative_to(ROOT)) for path in page} <= names
    code = {
        f"frieze/{name}/{path.relative_to(ROOT / folder)}"
        for name, folder in LINKS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert code <= names


@pytest.mark.slow
def test_beside_a_users_own_files(wheels, tmp_path):
    """A user's own features.py, index.py, embedder.py and classifiers.py beside a script hide nothing of ours."""
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheels["checkout"]).extractall(site)
    work.mkdir()
    for name in USERS_FILES:
        (work / f"{name}.py").write_text(f"raise ImportError('{name} of the user')\n", encoding="utf-8")
    script = (
        "import frieze, numpy as np\n"
        "np.save('vectors.npy', np.eye(4, dtype=np.float32))\n"
        "frieze.import_vectors('vectors.npy', out='f')\n"
        "frieze.index('f', out='i')\n"
        "print(frieze.__file__, frieze.open_features('f').embeddings().shape)\n"
        "print(frieze.search('i', 'id:2', k=2)['queries'][0]['hits'][0]['id'])\n"
    )
    (work / "script.py").write_text(script, encoding="utf-8")
    paths = {"PYTHONPATH": os.pathsep.join((str(work), str(site)))}
    line = [sys.executable, "script.py"]
    done = subprocess.run(line, cwd=work, env=os.environ | paths, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    message, hit = done.stdout.splitlines()[-2:]
    assert message == f"{site / 'frieze' / '__init__.py'} (4, 4)"
    assert hit == "2"
