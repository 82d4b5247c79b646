"""From the output of a failed build to what the user can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Diagnosis:
    """A known cause of a failed build."""

    pattern: str
    reason: str
    advice: str


_KNOWN: Final = (
    Diagnosis(
        # What gcc, clang, nvcc and a shell say of a process that the system ended, and statuses.
        r"Killed signal terminated program|fatal error: Killed|unable to execute command: Killed"
        r"|died due to signal 9|^Killed\b|^\S*sh: .*\d Killed\b|SIGKILL"
        r"|(exit status|exit code|code=|error) ?(-9|137)\b"
        r"|virtual memory exhausted|cannot allocate memory|std::bad_alloc",
        "the compiler ran out of memory",
        "run it again with fewer compilers at once: MAX_JOBS=1",
    ),
    Diagnosis(
        r"cblas\.h: No such file|cannot find -lopenblas|unable to find library -lopenblas",
        "OpenBLAS was not found",
        "install it (Debian, Ubuntu: libopenblas-dev)",
    ),
    Diagnosis(
        r"Python\.h: No such file",
        "the Python headers were not found",
        "install them (Debian, Ubuntu: python3-dev)",
    ),
    Diagnosis(
        r"unrecognized command[- ]line option .-std=c\+\+(17|20)|requires? C\+\+(17|20)"
        r"|Your compiler .* may be ABI-incompatible",
        "the C++ compiler is too old for this torch",
        "install a newer one (GCC 11 or later) and name it with CXX",
    ),
    Diagnosis(
        r"unsupported GNU version|unsupported clang version",
        "the C++ compiler is too new for this CUDA toolkit",
        "install an older one and name it with CXX, for example CXX=g++-12",
    ),
    Diagnosis(
        r"Unsupported gpu architecture|Unknown CUDA arch",
        "the CUDA toolkit does not know one of the GPU architectures",
        "set TORCH_CUDA_ARCH_LIST to your GPU's compute capability, for example 8.6",
    ),
    Diagnosis(
        r"The detected CUDA version .* mismatches the version",
        "the CUDA toolkit has another version than torch was built with",
        "install the toolkit that fits and set CUDA_HOME to it, or build with --cpu",
    ),
    Diagnosis(
        r"Ninja is required|ninja: command not found|No such file or directory: 'ninja'",
        "ninja was not found",
        "pip install ninja",
    ),
    Diagnosis(
        r"invalid command 'bdist_wheel'|No module named '(setuptools|wheel|distutils)",
        "setuptools or wheel is missing or too old",
        "python -m pip install --upgrade setuptools wheel",
    ),
    Diagnosis(
        r"No space left on device",
        "the disk is full",
        "free about 1 GiB in the folder for temporary files, or name another with TMPDIR",
    ),
)


def diagnose(output: str) -> tuple[str, str] | None:
    """Reason and advice for a failed build, from all that it printed; None if not known."""
    for known in _KNOWN:
        if re.search(known.pattern, output, re.IGNORECASE | re.MULTILINE):
            return known.reason, known.advice
    return None
