#!/usr/bin/env bash
# Make .venv with this checkout in it. Further arguments are extras, such as `test`.
#
#   SSL3D_TORCH   the torch requirement, with pip options if need be (default: torch>=2.4.1), as in
#                 SSL3D_TORCH="torch==2.13.0"
#   SSL3D_PYTHON  the interpreter, 3.11 or later (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${SSL3D_PYTHON:-python3}"
"$python" - <<'CHECK'
import sys
if sys.version_info < (3, 11):
    sys.exit(f"ssl3d needs Python 3.11 or later, this is {sys.version.split()[0]}: set SSL3D_PYTHON")
CHECK
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade pip  # Debian's has no --config-settings
fi

# shellcheck disable=SC2086  # the requirement may hold pip options
.venv/bin/python -m pip install --quiet ${SSL3D_TORCH:-torch>=2.4.1}
# What is installed next must not replace this torch.
.venv/bin/python -c 'import torch; print(f"torch=={torch.__version__}")' > .venv/constraints.txt
extras="$(IFS=,; echo "$*")"
.venv/bin/python -m pip install --quiet --constraint .venv/constraints.txt --editable ".${extras:+[$extras]}"
