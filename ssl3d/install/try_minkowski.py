"""A convolution with the installed MinkowskiEngine against torch; run in a process of its own."""

from __future__ import annotations

import sys

import torch

_TOLERANCE = 1e-9


def largest_difference(device: str) -> float:
    """Largest absolute difference of output and gradients to the dense convolution on `device`."""
    import MinkowskiEngine as ME

    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(2, 4, 5, 6, 7, generator=generator, dtype=torch.float64).to(device)
    weight = torch.randn(8, 4, 3, 3, 3, generator=generator, dtype=torch.float64).to(device)
    weight.requires_grad_()
    expected = torch.nn.functional.conv3d(volume, weight, padding=1)

    sites = torch.ones(2, 5, 6, 7, dtype=torch.bool, device=device).nonzero().int().contiguous()
    rows = volume.permute(0, 2, 3, 4, 1).reshape(-1, 4).contiguous()
    layer = ME.MinkowskiConvolution(4, 8, kernel_size=3, dimension=3)
    layer = layer.to(device, torch.float64)
    # The kernel is (27, in, out) with the first coordinate axis fastest.
    with torch.no_grad():
        layer.kernel.copy_(weight.permute(4, 3, 2, 1, 0).reshape(27, 4, 8))
    found = layer(ME.SparseTensor(rows, coordinates=sites)).F

    direction = torch.randn(expected.shape, generator=generator, dtype=torch.float64).to(device)
    (gradient,) = torch.autograd.grad((expected * direction).sum(), weight)
    (kernel_gradient,) = torch.autograd.grad(
        (found * direction.permute(0, 2, 3, 4, 1).reshape(-1, 8)).sum(), layer.kernel
    )
    gradient = gradient.permute(4, 3, 2, 1, 0).reshape(27, 4, 8)
    values = expected.permute(0, 2, 3, 4, 1).reshape(-1, 8)
    differences = (found - values, kernel_gradient - gradient)
    return max(float(difference.detach().abs().max()) for difference in differences)


def main() -> int:
    """Print the difference on every device the build serves; 1 if one is too large."""
    import MinkowskiEngine as ME

    devices = ["cpu"]
    if ME.is_cuda_available() and torch.cuda.is_available():
        devices.append("cuda")
    status = 0
    for device in devices:
        difference = largest_difference(device)
        print(f"{device}: largest difference to the dense convolution {difference:.1e}")
        status = status or int(not difference < _TOLERANCE)
    return status


if __name__ == "__main__":
    sys.exit(main())
