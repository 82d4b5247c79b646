"""Primus beside the public network itself, in a process that has timm.

pip install --no-deps --target FOLDER timm==1.0.15 einops==0.8.2
SSL3D_TIMM=FOLDER pytest tests/primus/test_primus_live.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from test_primus_weights import encoder_of

import ssl3d
from ssl3d.geometry import Stage
from ssl3d.sparse.layers import PatchUp
from ssl3d.weights import read_weights
from ssl3d_plugins.primus import Primus

TIMM = os.environ.get("SSL3D_TIMM")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        TIMM is None or find_spec("dynamic_network_architectures") is None,
        reason="needs dynamic-network-architectures 0.4.4, and a folder with timm in SSL3D_TIMM",
    ),
]


def public(what: str, file: Path) -> None:
    """Run a function of public_primus.py."""
    here, environment = Path(__file__).parent, dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent), str(TIMM)])
    done = subprocess.run(
        [sys.executable, str(here / "public_primus.py"), what, str(file)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@torch.no_grad()
def test_from_the_package(tmp_path: Path) -> None:
    public("compare", tmp_path / "net.pth")
    content = torch.load(tmp_path / "net.pth", weights_only=True)
    backbone = Primus(size="S", volume=(32, 48, 40)).build(in_channels=1).eval()
    report = backbone.load_weights(read_weights(tmp_path / "net.pth"))
    assert not report.missing
    (made,) = backbone(content["volume"])
    torch.testing.assert_close(made, content["features"], rtol=1e-4, atol=1e-5)
    up = PatchUp(Stage((8, 8, 8), 396), out_channels=2)
    own = content["network_weights"]
    values = [v for n, v in own.items() if n.startswith("up_projection.")]
    for tensor, value in zip(up.state_dict().values(), values, strict=True):
        tensor.copy_(value)
    torch.testing.assert_close(up(made)[1], content["output"], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_to_the_package(tmp_path: Path) -> None:
    run = encoder_of({"name": "primus", "size": "S", "volume": 16}, out=tmp_path / "run", patch=24)
    done = ssl3d.export(run, to="nnssl")
    public("load", done.out / "nnssl.pth")
    theirs = torch.load(done.out / "nnssl.features", weights_only=True)["features"]
    volume = torch.randn(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    (ours,) = ssl3d.load_encoder(run)(volume)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
