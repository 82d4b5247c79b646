"""SparK (Tian et al. 2023, arXiv 2301.03580), carried to volumes and nnU-Net's encoder.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/spark.py --out runs/spark
"""

import os

from ssl3d import ExperimentSpec
from ssl3d.spec import DataSpec, DecoderSpec, OptimizerSpec, TrainerSpec
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.resunet import ResUNet

BATCH, ACCUMULATE = 2, 16

spec = ExperimentSpec(
    # The paper's ResNets have batch norm. Its images are 224² with cells of 32 pixels; 128³ with
    # cells of 32 voxels is a grid of 4³ = 64 cells, near the paper's 7² = 49.
    backbone=ResUNet(size="M", norm="batch"),
    masker=Random(ratio=0.6, block=1),
    losses=MSE(),
    target="patch_normalised",
    # 768 of ResNet-50's 2048 channels in the paper: the same share of 320 is 120.
    decoder=DecoderSpec(width=128, head_stride=1, norm="batch"),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        patch=128,
        batch_size=BATCH,
        flips=(False, False, True),  # the paper flips left and right only
    ),
    optimizer=OptimizerSpec(
        name="lamb",
        lr=2e-4 * BATCH * ACCUMULATE / 256,
        weight_decay=0.04,
        weight_decay_end=0.2,
        betas=(0.9, 0.95),
        clip=5.0,
        warmup=40 / 1600,
    ),
    # 1600 epochs of 1.28 million images at a batch of 4096 in the paper: 5e5 steps. Volumes are
    # fewer and larger.
    trainer=TrainerSpec(steps=100_000, accumulate=ACCUMULATE, precision="bf16"),
)
