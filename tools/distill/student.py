"""The student as a PyTorch module."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tools.distill.architecture import WIDTH, network


class Student(nn.Module):  # type: ignore[misc]  # mypy sees no PyTorch, which is an extra
    """uint8 or float images [B, 3, 128, 128] in [0, 1] -> float32 [B, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.ModuleDict()
        network(None, _LayerBuilder(self.units))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed."""
        return network(images, _LayerRunner(self.units))


class _LayerBuilder:
    """Creates the layers that the architecture names, without data."""

    def __init__(self, units: nn.ModuleDict) -> None:
        self._units = units

    def convolve(self, maps: Any, name: str, shape: tuple[int, int, int, int]) -> Any:
        n_in, n_out, kernel, stride = shape
        padding = 0 if kernel == stride else kernel // 2
        convolution = nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False)
        self._units[name] = nn.Sequential(convolution, nn.BatchNorm2d(n_out))
        return maps

    def relu(self, maps: Any) -> Any:
        return maps

    def add(self, one: Any, _: Any) -> Any:
        return one

    def embed(self, maps: list[Any], name: str, n_in: int) -> Any:
        self._units[name] = nn.Linear(n_in, WIDTH)
        return maps


class _LayerRunner:
    """Runs the layers."""

    def __init__(self, units: nn.ModuleDict) -> None:
        self._units = units

    def convolve(self, maps: torch.Tensor, name: str, _: tuple[int, int, int, int]) -> torch.Tensor:
        return self._units[name](maps)

    def relu(self, maps: torch.Tensor) -> torch.Tensor:
        return functional.relu(maps)

    def add(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return one + other

    def embed(self, maps: list[torch.Tensor], name: str, _: int) -> torch.Tensor:
        pooled = torch.cat([one.mean((2, 3)) for one in maps], dim=1)
        return self._units[name](pooled).float()
