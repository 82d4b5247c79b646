"""S3D (Wald et al. 2024, arXiv 2410.23132): SparK's pre-training of nnU-Net's ResEnc-L.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/s3d.py --out runs/s3d
"""

import os

from ssl3d import ExperimentSpec
from ssl3d.spec import DataSpec, DecoderSpec, OptimizerSpec, TrainerSpec
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.resunet import ResUNet

spec = ExperimentSpec(
    # Instance norm over visible sites, which may be unequal in number from sample to sample.
    backbone=ResUNet(size="L", norm="instance"),
    masker=Random(ratio=0.75, block=1),  # the paper also tries a range: ratio=(0.6, 0.9)
    losses=MSE(),
    target="voxels",  # volumes are z-scored as a whole; patches are not normalised
    # The paper keeps nnU-Net's whole decoder. This light one ends in a linear patch head, because
    # a decoder at full resolution costs more than the visible encoder. Set head_stride=1 for it.
    decoder=DecoderSpec(width=320, head_stride=4),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        patch=160,
        batch_size=6,
        normalise="zscore",  # the paper's volumes are resampled to 1 mm too: spacing=1.0
        spacing=1.0,
    ),
    optimizer=OptimizerSpec(
        name="sgd",
        lr=1e-2,
        momentum=0.99,
        weight_decay=3e-5,
        schedule="poly",
        warmup=0.0,
        clip=12.0,
    ),
    trainer=TrainerSpec(steps=250_000, precision="bf16"),
)
