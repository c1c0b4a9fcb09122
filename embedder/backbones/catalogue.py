"""The table of named backbones, `builtin` and `keras:NAME`; reading it loads nothing."""

from pathlib import Path
from typing import NamedTuple


class Application(NamedTuple):
    """One model of keras.applications without its top, or the built-in one.

    Attributes:
        dim: Width D after average pooling.
        side_px: Default side of its input.
        n_parameters: Weights without the top.
        pixels: Range it was trained on, a key of `PIXELS`; `0..255` where it rescales itself.
    """

    dim: int
    side_px: int
    n_parameters: int
    pixels: str


BUILTIN = "builtin"
"""Handle of the network that comes with the package."""

KERASHUB = "kerashub:"
"""Prefix of a preset of KerasHub: `kerashub:NAME`, `kerashub:kaggle://...`, `kerashub:hf://...`, `kerashub:FOLDER`."""

BUILTIN_NAME = "frieze-mini-3"
"""The name contains the version: other weights are another network."""

BUILTIN_FILE = Path(__file__).with_name(f"{BUILTIN_NAME}.keras")
BUILTIN_MODEL = Application(256, 128, 1_294_464, "0..1")

# Source: the models of keras.applications, Keras 3.15; a test compares each row with them.
APPLICATIONS = {
    "ConvNeXtBase": Application(1024, 224, 87_566_464, "0..255"),
    "ConvNeXtLarge": Application(1536, 224, 196_230_336, "0..255"),
    "ConvNeXtSmall": Application(768, 224, 49_454_688, "0..255"),
    "ConvNeXtTiny": Application(768, 224, 27_820_128, "0..255"),
    "ConvNeXtXLarge": Application(2048, 224, 348_147_968, "0..255"),
    "DenseNet121": Application(1024, 224, 7_037_504, "torch"),
    "DenseNet169": Application(1664, 224, 12_642_880, "torch"),
    "DenseNet201": Application(1920, 224, 18_321_984, "torch"),
    "EfficientNetB0": Application(1280, 224, 4_049_571, "0..255"),
    "EfficientNetB1": Application(1280, 240, 6_575_239, "0..255"),
    "EfficientNetB2": Application(1408, 260, 7_768_569, "0..255"),
    "EfficientNetB3": Application(1536, 300, 10_783_535, "0..255"),
    "EfficientNetB4": Application(1792, 380, 17_673_823, "0..255"),
    "EfficientNetB5": Application(2048, 456, 28_513_527, "0..255"),
    "EfficientNetB6": Application(2304, 528, 40_960_143, "0..255"),
    "EfficientNetB7": Application(2560, 600, 64_097_687, "0..255"),
    "EfficientNetV2B0": Application(1280, 224, 5_919_312, "0..255"),
    "EfficientNetV2B1": Application(1280, 240, 6_931_124, "0..255"),
    "EfficientNetV2B2": Application(1408, 260, 8_769_374, "0..255"),
    "EfficientNetV2B3": Application(1536, 300, 12_930_622, "0..255"),
    "EfficientNetV2L": Application(1280, 480, 117_746_848, "0..255"),
    "EfficientNetV2M": Application(1280, 480, 53_150_388, "0..255"),
    "EfficientNetV2S": Application(1280, 384, 20_331_360, "0..255"),
    "InceptionResNetV2": Application(1536, 299, 54_336_736, "-1..1"),
    "InceptionV3": Application(2048, 299, 21_802_784, "-1..1"),
    "MobileNet": Application(1024, 224, 3_228_864, "-1..1"),
    "MobileNetV2": Application(1280, 224, 2_257_984, "-1..1"),
    "MobileNetV3Large": Application(960, 224, 2_996_352, "0..255"),
    "MobileNetV3Small": Application(576, 224, 939_120, "0..255"),
    "NASNetLarge": Application(4032, 331, 84_916_818, "-1..1"),
    "NASNetMobile": Application(1056, 224, 4_269_716, "-1..1"),
    "ResNet101": Application(2048, 224, 42_658_176, "caffe"),
    "ResNet101V2": Application(2048, 224, 42_626_560, "-1..1"),
    "ResNet152": Application(2048, 224, 58_370_944, "caffe"),
    "ResNet152V2": Application(2048, 224, 58_331_648, "-1..1"),
    "ResNet50": Application(2048, 224, 23_587_712, "caffe"),
    "ResNet50V2": Application(2048, 224, 23_564_800, "-1..1"),
    "VGG16": Application(512, 224, 14_714_688, "caffe"),
    "VGG19": Application(512, 224, 20_024_384, "caffe"),
    "Xception": Application(2048, 299, 20_861_480, "-1..1"),
}
