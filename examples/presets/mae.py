"""The dense masked auto-encoder that `s3d` is measured against: same network, data and schedule.

Hidden voxels are set to zero and the whole volume is encoded, at full cost; norms see all sites,
and no tokens stand in for what is hidden. This plain baseline was the strongest in the comparison
of arXiv 2410.23132: a method that does not beat it is not worth its name.

    SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/mae.py --out runs/mae
"""

import runpy
from pathlib import Path

s3d = runpy.run_path(str(Path(__file__).with_name("s3d.py")))["spec"]

spec = s3d.replace(encoder_input="zeroed")
