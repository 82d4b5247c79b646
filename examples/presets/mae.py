"""The dense masked auto-encoder that `s3d` is measured against: same network, data and schedule.

Hidden voxels are set to zero and the whole volume is encoded, at full cost; norms see all sites,
and no tokens stand in for what is hidden. The paper of S3D (arXiv 2410.23132) finds S3D the better
of the two; the later and larger OpenMind comparison (arXiv 2412.17041), by the same group, finds
this plain MAE the better for ResEnc-L: 70.91 against 70.36 mean Dice, and 70.47 from scratch. So a
method that does not beat it has shown little.

    SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/mae.py --out runs/mae
"""

import runpy
from pathlib import Path

s3d = runpy.run_path(str(Path(__file__).with_name("s3d.py")))["spec"]

# Data, optimiser and their differences from the public code are those of s3d.py. Two more:
# - Hidden cells have 32³ voxels. nnssl's MAE hides blocks of 16³, but `cell` must be a multiple of
#   the backbone's total stride here for "zeroed" as well, so that both forms hide the same cells.
# - Decoder and densify are those of s3d.py too, without tokens; nnssl trains nnU-Net's whole U-Net.
spec = s3d.replace(encoder_input="zeroed")
