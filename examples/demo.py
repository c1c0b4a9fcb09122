"""All of Frieze in one run: images -> features -> index, search, head, predictions, and an HTML report.

Usage: python examples/demo.py [FOLDER]; without a folder the 1,797 handwritten digits of scikit-learn are used.
"""

import shutil
import sys
import time
from pathlib import Path

from PIL import Image

import frieze

OUT = Path("demo-out")
N_SHOWN = 6


def write_digits(folder: Path) -> Path:
    """Write scikit-learn's digits as 64 x 64 images into ten class folders."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  not needed where the user names a folder

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(label) / f"{number:04d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15).astype("uint8")).resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return folder


def step(title: str) -> None:
    """Print the title of a step."""
    print(f"\n== {title}", flush=True)


def main() -> None:
    """Run the demo."""
    start = time.perf_counter()
    OUT.mkdir(exist_ok=True)
    images = Path(sys.argv[1]) if len(sys.argv) > 1 else write_digits(OUT / "digits")
    features, index, head = (OUT / name for name in ("images.features", "images.index", "images.head"))

    step(f"Embed: every image of {images} becomes a vector, once")
    is_other = _is_of_other_images(features, images)
    if is_other:  # an earlier demo's results of other images
        shutil.rmtree(head, ignore_errors=True)
        (OUT / "predictions.parquet").unlink(missing_ok=True)
    embedded = frieze.embed(images, out=features, force=is_other)
    print(f"{embedded['embedded']} embedded, {embedded['unchanged']} unchanged, {embedded['failed']} failed")
    if embedded["failed"]:
        print(f"What failed, and why, stands in {features}/failures.parquet: {embedded['failures']}")
    print(f"{embedded['rows']} vectors of {embedded['dim']} numbers in {features}")

    step("Index: find similar ones fast, with a recall that was measured")
    built = frieze.index(features, out=index)
    print(f"{built['kind']}: recall@10 {built['recall_at_10']:.3f}. {built['why']}")

    step("Search: the most similar images to a few of them")
    ids = frieze.open_features(features).ids
    queries = [f"id:{ids[row]}" for row in range(0, len(ids), max(1, len(ids) // N_SHOWN))][:N_SHOWN]
    results = frieze.search(index, queries, k=8)
    for one in results["queries"]:
        others = [hit["id"] for hit in one["hits"] if f"id:{hit['id']}" != one["query"]]
        print(f"{one['query']:24} -> {', '.join(others[:3])}")
    made = [features, index]
    if len(frieze.info(features)["labels"]) < 2:  # noqa: PLR2004  a head tells classes apart
        print("\nNo head is trained: the images do not lie in one folder a class.")
    else:
        step("Train: a head on the stored vectors, measured on images it never saw")
        trained = frieze.train(features, out=head, force=True)
        low, high = trained["confidence_interval"]
        print(f"accuracy {trained['accuracy']:.1%} ({low:.1%} to {high:.1%}) on {trained['n_test']} held-out images")
        step("Predict")
        predicted = frieze.predict(head, features, out=OUT / "predictions.parquet", force=True)
        print(f"{predicted['rows']} rows in {OUT / 'predictions.parquet'}")
        made += [head, OUT / "predictions.parquet"]
    page = OUT / "report.html"
    frieze.write_report(page, title="Frieze demo", found=results, head=head if head in made else None)
    _print_summary(images, [*made, page], time.perf_counter() - start)


def _is_of_other_images(features: Path, images: Path) -> bool:
    """Return whether an earlier demo ran on another folder."""
    return (features / "features.json").exists() and frieze.info(features)["source"] != str(images.absolute())


def _print_summary(images: Path, made: list[Path], seconds: float) -> None:
    print(f"\nDone in {seconds:.0f} s. Made:")
    for path in made:
        print(f"  {path}")
    head = f" --head {OUT}/images.head" if OUT / "images.head" in made else ""
    print(f"\nLook at {(OUT / 'report.html').absolute()} in a browser. Go on with:")
    print(f"  .venv/bin/frieze serve {OUT}/images.index{head}")
    print(f"  .venv/bin/frieze search {OUT}/images.index YOUR_IMAGE.jpg --html found.html")
    print(f"  .venv/bin/frieze embed {images} --backbone keras:MobileNetV2 --out better.features")
    print("  .venv/bin/frieze --help")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
