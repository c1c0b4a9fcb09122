"""Recipe 1 as one Keras model: a hub backbone that stays frozen, Dense(128, relu) and a softmax.

Usage: python examples/recipe1_keras.py IMAGES [--backbone HANDLE] [--side PIXELS] [--epochs N]

recipe1.py does the same from stored vectors; here every image goes through the backbone again in every epoch, which
pays with augmentation, or where the backbone is trained too: HubLayer(..., trainable=True).
"""

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import frieze

BACKBONE = "https://tfhub.dev/google/imagenet/resnet_v2_50/feature_vector/5"


def read_images(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Read one folder a class, in random order: uint8 [N, side, side, 3], and int [N]."""
    paths = [path for path in sorted(folder.glob("*/*")) if path.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    paths = [paths[row] for row in np.random.default_rng(0).permutation(len(paths))]
    images = [Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR) for path in paths]
    labels = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    return np.stack([np.asarray(image) for image in images]), labels


def main() -> None:
    """Train on four fifths of the images, and print the accuracy on the others."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    images, labels = read_images(options.images, options.side)
    n_test = len(images) // 5
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            keras.layers.Rescaling(1 / 255),  # hub modules take pixels in [0, 1]
            frieze.HubLayer(options.backbone, trainable=False),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(int(labels.max()) + 1, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images[n_test:], labels[n_test:], epochs=options.epochs, verbose=2)
    _, accuracy = model.evaluate(images[:n_test], labels[:n_test], verbose=0)
    model.save("recipe1.keras")  # with the backbone in it
    print(f"accuracy {accuracy:.3f} on {n_test} held-out images")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
