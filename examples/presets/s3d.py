"""S3D (Wald et al. 2024, arXiv 2410.23132): SparK's pre-training of nnU-Net's ResEnc-L.

"Public code" below is nnssl, by the paper's authors.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/s3d.py --out runs/s3d
"""

import os

from ssl3d import ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.data.spec import DataSpec, ForegroundSpec
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.resunet import ResUNet

spec = ExperimentSpec(
    # ResEnc M, L and XL are one network; nnU-Net plans L at 192³, the paper trains it at 160³.
    # Instance norm over visible sites, which may be unequal in number from sample to sample; the
    # public code needs equal numbers.
    backbone=ResUNet(size="L", norm="instance"),
    # The paper also tries a range: ratio=(0.6, 0.9). A cell has 32³ voxels, so that it is hidden
    # at every stage; the public code hides blocks of 16³, shows the whole stage of stride 32, and
    # hides after the stem's convolution, where hidden voxels have already reached their neighbours.
    masker=Random(ratio=0.75, block=1),
    losses=MSE(),
    target="voxels",  # z-scored volumes, no further normalisation of patches
    decoder=Spark(
        # The paper keeps nnU-Net's whole decoder, with concatenated skips. This light one adds
        # them and ends in a linear patch head, because a decoder at full resolution costs more
        # than the visible encoder. Set head_stride=1 for full resolution.
        width=320,
        head_stride=4,
        norm="instance",  # of densify
    ),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        patch=160,
        batch_size=6,  # the public code has trainers for 2 to 28; 6 is among them
        # Over the foreground that Otsu's threshold finds; the public code's z-score is over the
        # whole volume.
        normalise="zscore",
        spacing=1.0,  # mm, as the paper's volumes
        foreground=ForegroundSpec(share=0.8),  # the public code crops anywhere
        # The public code mirrors too, rotates a fifth of the crops and scales a fifth.
        flips=(True, True, True),
    ),
    optimizer=OptimizerSpec(
        name="sgd",
        lr=1e-2,
        momentum=0.99,
        # Norms, biases and tokens are not decayed here; the public code decays every parameter.
        weight_decay=3e-5,
        schedule="poly",
        warmup=0.0,
        clip=12.0,
    ),
    # Half precision with scaled gradients in the public code: precision="16".
    trainer=TrainerSpec(steps=250_000, precision="bf16"),
)
