#!/usr/bin/env bash
# Set up and run every check: ruff, mypy, the contracts of imports, the tests. Arguments go to pytest.
#
#   SSL3D_LIBRARIES  sparse libraries to test as well: "spconv", "minkowski" or both (default: none)
#   SSL3D_PROCESSES  tests that run at once (default: 2)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras=(test)
case " ${SSL3D_LIBRARIES:-} " in *" spconv "*) extras+=(spconv-cu126) ;; esac
case " ${SSL3D_LIBRARIES:-} " in *" minkowski "*) extras+=(minkowski) ;; esac
scripts/setup.sh "${extras[@]}"
export PATH="$PWD/.venv/bin:$PATH"

# nnU-Net's networks, for comparison. Their dependencies are not needed for that.
pip install --quiet --no-deps dynamic-network-architectures==0.4.4
case " ${SSL3D_LIBRARIES:-} " in *" minkowski "*) ssl3d install minkowski ;; esac

ruff check .
ruff format --check .
mypy
lint-imports --no-cache
lint-imports --no-cache --config .importlinter-circles
export OMP_NUM_THREADS=1  # one thread a process: they share the cores
pytest -n "${SSL3D_PROCESSES:-2}" "$@"
