"""SparK (Tian et al. 2023, arXiv 2301.03580), carried to volumes and nnU-Net's encoder.

"Public code" below is the authors' (github.com/keyu-tian/SparK at commit a63e386). Loss and
gradients of a network of these options are the public code's with a third axis, to rounding.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/spark.py --out runs/spark
"""

import os

from ssl3d import ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.data.intensity_spec import Percentile
from ssl3d.data.spec import DataSpec, ForegroundSpec
from ssl3d.masked.spec import NormalisationSpec
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.resunet import ResUNet

# 32 crops a step, 4096 images in the paper. A crop of 128³ has 42 times the voxels of an image of
# 224², so 32 of them hold as many as 1337 images. Two at a time are what one GPU may hold.
BATCH, ACCUMULATE = 2, 16
# The paper's rule for other batches: 2e-4 for every 256 crops.
LR = 2e-4 * BATCH * ACCUMULATE / 256

spec = ExperimentSpec(
    # nnU-Net's ResEnc M, L and XL are one network; 128³ is the patch that it plans for M.
    # The paper's ResNets have batch norm. Its images are 224² with cells of 32 pixels; 128³ with
    # cells of 32 voxels is a grid of 4³ = 64 cells, near the paper's 7² = 49. This encoder's
    # finest stage has full resolution, and the decoder gets it as well; ResNet's has stride 4.
    # Norm statistics are over a micro-batch, so two crops on each rank; over 4096 in the paper.
    # Initial values are nnU-Net's, the paper's torch's for a ResNet.
    backbone=ResUNet(size="M", norm="batch", drop_path=0.05),
    masker=Random(ratio=0.6, block=1),  # 38 of 64 cells, as there
    losses=MSE(over="patches"),
    target="patch_normalised",
    normalisation=NormalisationSpec(channels="joint", unbiased=True),
    decoder=Spark(
        # 768 of ResNet-50's 2048 channels in the paper: the same share of 320 is 120. Widths halve
        # down to 8, the paper's to 24.
        width=128,
        head_stride=1,
        norm="batch",  # with its epsilon of 1e-5, as in the public code
        narrows="last",
        initial="spark",
    ),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        # Crops of one scale: the paper takes two thirds of an image or more and resizes it, but
        # the size of a voxel has a meaning in medical volumes.
        patch=128,
        batch_size=BATCH,
        # Photographs have one mean and deviation for all, volumes of any scanner have not.
        normalise=Percentile(),
        foreground=ForegroundSpec(share=0.8),  # much of a volume is air, of a photograph nothing
        flips=(False, False, True),  # the paper flips left and right only
    ),
    optimizer=OptimizerSpec(
        name="lamb",
        lr=LR,
        min_lr=1e-3 * LR,
        weight_decay=0.04,
        weight_decay_end=0.2,
        betas=(0.9, 0.95),
        bias_correction=True,
        clip=5.0,
        warmup=40 / 1600,  # from 0.04 % of the peak here, from 0.5 % in the public code
    ),
    # 1600 epochs of 1.28 million images at a batch of 4096 in the paper: 5e5 steps. Volumes are
    # fewer and larger. The public code is in single precision throughout: precision="32".
    trainer=TrainerSpec(steps=100_000, accumulate=ACCUMULATE, precision="bf16"),
)
