#!/usr/bin/env bash
# Set everything up and pre-train on the volumes in examples/data. Arguments go to `ssl3d pretrain`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
.venv/bin/ssl3d pretrain examples/hippocampus.py --out runs/hippocampus "$@"
