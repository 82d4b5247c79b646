"""Mask in mask in three levels (arXiv 2404.15580) on CT.

"The paper" below is that of mask-in-mask; "its code" is what the authors have published.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/mim3.py --out runs/mim3
"""

import os

from ssl3d import ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.data.intensity_spec import CTWindow
from ssl3d.data.spec import DataSpec, ForegroundSpec
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.losses import MSE, InfoNCE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.views import MaskInMask
from ssl3d_plugins.waveformer import WaveFormer

# Its script takes one crop of 192³ on each GPU and accumulates 64 steps.
BATCH, ACCUMULATE = 1, 64
# Its rule for batches of crops, on one GPU: 1e-4 for every 256.
LR = 1e-4 * BATCH * ACCUMULATE / 256

spec = ExperimentSpec(
    # The paper's encoder is a hybrid of convolutions and attention of these widths, with blocks of
    # 2, 2, 2 and 11; cells have 16³ voxels in both.
    backbone=WaveFormer(widths=(48, 96, 192, 384)),
    # 1 + 4 + 16 passes of 96³: 192³ at half resolution with half of its octants hidden, four of
    # them at full resolution with 60 % of their cells hidden, four cells of each of these enlarged
    # to 96³ with half hidden. All are the defaults. Its code hides runs of tokens at level 1.
    views=MaskInMask(),
    masker=Random(ratio=0.6),
    losses=[
        # Losses are means over levels here and sums in the paper: three restorations of weight 1,
        # and two alignments of weight 0.1.
        MSE(weight=3.0),
        # True places, the other places of the parent as negatives, and a temperature. Its code has
        # no temperature, and the mode that its script runs has no negatives.
        InfoNCE(between="views", weight=0.2, temperature=0.1),
    ],
    target="patch_normalised",
    # SparK's light decoder up to stride 8, and a linear map to voxels. The paper's is a transformer
    # of 8 blocks and 576 channels, whose features it aligns after their norm; here it is the
    # decoder's last features at stride 8.
    decoder=Spark(head_stride=8),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        patch=96,  # crops are twice as large on each axis
        batch_size=BATCH,
        normalise=CTWindow(lower=-1000, upper=1000),
        # Its code crops anywhere; much of a body's surroundings is air.
        foreground=ForegroundSpec(share=0.8),
        flips=(False, False, False),  # its code does not flip
    ),
    optimizer=OptimizerSpec(
        lr=LR,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        warmup=40 / 800,
        clip=1.0,  # the default here, against single bad crops; its code does not clip
    ),
    # 800 epochs in the paper; steps do not depend on how many volumes there are. Half precision
    # with scaled gradients in its code: precision="16".
    trainer=TrainerSpec(steps=100_000, accumulate=ACCUMULATE, precision="bf16"),
)
