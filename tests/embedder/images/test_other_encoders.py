"""Files that other programs' encoders wrote (libheif, libjxl, libvips, ImageMagick, ffmpeg), against their PNG twins.

On Debian: apt-get install libheif-examples libjxl-tools libvips-tools imagemagick ffmpeg
"""

import importlib.util
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from frieze.embedder import BackboneRequest, embed_images, open_backbone

pytestmark = pytest.mark.slow

ENCODERS = {
    "libheif.heic": "heif-enc -q 90 {png} -o {out}",
    "libheif.avif": "heif-enc -A -q 90 {png} -o {out}",
    "libjxl.jxl": "cjxl -q 90 {png} {out}",
    "libjxl-modular.jxl": "cjxl -d 0 {png} {out}",
    "libvips.jp2": "vips copy {png} {out}",
    "libvips.avif": "vips copy {png} {out}[Q=90]",
    "libvips.webp": "vips copy {png} {out}[Q=90]",
    "libvips-pyramid.tif": "vips tiffsave {png} {out} --compression lzw --tile --pyramid",
    "libvips-ycbcr.tif": "vips tiffsave {png} {out} --compression jpeg --Q 90",
    "magick.jp2": "convert-im6.q16 {png} -quality 90 {out}",
    "magick.psd": "convert-im6.q16 {png} {out}",
    "magick.ppm": "convert-im6.q16 {png} {out}",
    "magick-16-bit.png": "convert-im6.q16 {png} -depth 16 PNG48:{out}",
    "magick-16-bit.tif": "convert-im6.q16 {png} -depth 16 {out}",
    "magick-progressive.jpg": "convert-im6.q16 {png} -interlace JPEG -quality 92 {out}",
    "ffmpeg.webp": "ffmpeg -loglevel error -i {png} -quality 90 {out}",
    "ffmpeg.tga": "ffmpeg -loglevel error -i {png} {out}",
    "ffmpeg.bmp": "ffmpeg -loglevel error -i {png} {out}",
}
NEEDS = {".heic": "pillow_heif", ".jxl": "pillow_jxl"}
TURNED = {
    "libjxl-from-jpeg.jxl": "cjxl {jpeg} {out}",
    "magick.tif": "convert-im6.q16 {jpeg} {out}",
    "libvips.webp": "vips copy {jpeg} {out}[Q=90]",
}
"""From a JPEG that is stored sideways, with the EXIF orientation that turns it upright; not by heif-enc 1.15, which
writes no `irot`, which alone turns a HEIC. (TGA is not by ImageMagick 6, whose rows contradict its header.)"""


@pytest.fixture(scope="module")
def twins(shared_data, tmp_path_factory):
    """A photograph as PNG, and as a JPEG that is stored sideways."""
    folder = tmp_path_factory.mktemp("twins")
    with Image.open(shared_data / "images" / "large_photos" / "001.jpg") as photograph:
        image = Image.fromarray(np.asarray(photograph.convert("RGB").resize((480, 320))))  # without its profile
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "a.png")
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "a.jpg", quality=95, exif=exif)
    return {"png": folder / "a.png", "jpeg": folder / "a.jpg"}


@pytest.fixture(scope="module")
def backbone():
    """The built-in backbone."""
    return open_backbone(BackboneRequest())


def encode(command, twins, out):
    """Run an encoder; skip the test where the program, or the package that reads its format, is missing."""
    program, needed = command.split()[0], NEEDS.get(out.suffix)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: see this file's first lines")
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed: pip install 'frieze[formats]'")
    subprocess.run(command.format(out=out, **twins).split(), check=True, capture_output=True)
    return out


@pytest.mark.parametrize(("name", "command"), ENCODERS.items(), ids=list(ENCODERS))
def test_like_its_png_twin(name, command, twins, backbone, cosines, tmp_path):
    """A file has the vector of the PNG that it was made from: cosine .995."""
    vector, twin = embed_images([encode(command, twins, tmp_path / name), twins["png"]], backbone)
    assert cosines(vector[None], twin[None])[0] >= 0.995


@pytest.mark.parametrize(("name", "command"), TURNED.items(), ids=list(TURNED))
def test_upright(name, command, twins, backbone, cosines, tmp_path):
    """A file that was made from a JPEG stored sideways is upright."""
    vector, twin = embed_images([encode(command, twins, tmp_path / name), twins["png"]], backbone)
    assert cosines(vector[None], twin[None])[0] >= 0.995


def test_a_turned_picture_differs(twins, backbone, cosines):
    """Orientation shows in the vector: that of the picture lying on its side is below .995."""
    image = Image.open(twins["png"])
    vectors = embed_images([np.asarray(image), np.asarray(image.transpose(Image.Transpose.ROTATE_90))], backbone)
    assert cosines(vectors[:1], vectors[1:])[0] < 0.995
