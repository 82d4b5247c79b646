"""The masked auto-encoder of Primus-M, as nnssl pre-trains it (arXiv 2503.01835, 2412.17041).

"Public code" below is nnssl (BaseEvaMAETrainer at commit 7044864), by the authors of Primus.

    SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/primus_mae.py --out runs/primus
"""

import runpy
from pathlib import Path

from ssl3d import OptimizerSpec
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.primus import Eva, Primus

s3d = runpy.run_path(str(Path(__file__).with_name("s3d.py")))["spec"]

# Data (patch of 160³, z-score, 1 mm), the number of steps and their differences from the public
# code are those of s3d.py. The target is voxels as they are: plain MSE over what is hidden.
spec = s3d.replace(
    backbone=Primus(size="M", volume=160, drop_path=0.2),
    # Each hidden cell is a token, of 8³ voxels, as there. They keep as many tokens in each sample,
    # and here each as well where a crop has no padding, which is never shown.
    masker=Random(ratio=0.75, block=1),
    # Two blocks of the backbone's width and heads, a learned token where cells are hidden, then
    # Primus' transposed convolutions. The public code orders the tokens y, z, x before the tables
    # of positions; here they are z, y, x, as in the network that nnU-Net fine-tunes.
    decoder=Eva(depth=2, heads=12, volume=160, drop_path=0.2),
    optimizer=OptimizerSpec(
        name="adamw",
        lr=3e-4,
        betas=(0.9, 0.98),
        # Norms, biases and tokens are not decayed here; the public code decays every parameter.
        weight_decay=0.05,
        clip=1.0,
        schedule="poly",
        warmup=50 / 1000,  # epochs
    ),
)
"""Batches are of 6 crops as in s3d.py; the public code has trainers of 2 and of 8."""
