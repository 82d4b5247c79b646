"""From the output of a failed build to what the user can do about it.

What `check_tools` looks for is there by then.
"""

from __future__ import annotations

import re
from typing import Final

KNOWN: Final = (
    (
        # What gcc, clang, nvcc and a shell say of a process that the system ended, and statuses.
        r"Killed signal terminated program|fatal error: Killed|unable to execute command: Killed"
        r"|died due to signal 9|^Killed\b|^\S*sh: .*\d Killed\b|SIGKILL"
        r"|(exit status|exit code|code=|error) ?(-9|137)\b"
        r"|virtual memory exhausted|cannot allocate memory|std::bad_alloc",
        "the compiler ran out of memory",
        "run it again with fewer compilers at once: MAX_JOBS=1",
    ),
    (
        r"unrecognized command[- ]line option .-std=c\+\+(17|20)|requires? C\+\+(17|20)"
        r"|Your compiler .* may be ABI-incompatible",
        "the C++ compiler is too old for this torch",
        "install a newer one (GCC 11 or later) and name it with CXX",
    ),
    (
        r"unsupported GNU version|unsupported clang version",
        "the C++ compiler is too new for this CUDA toolkit",
        "install an older one and name it with CXX, for example CXX=g++-12",
    ),
    (
        r"Unsupported gpu architecture|Unknown CUDA arch",
        "the CUDA toolkit does not know one of the GPU architectures",
        "set TORCH_CUDA_ARCH_LIST to your GPU's compute capability, for example 8.6",
    ),
    (
        r"invalid command 'bdist_wheel'|No module named '(setuptools|wheel|distutils)",
        "setuptools or wheel is missing or too old",
        "python -m pip install --upgrade setuptools wheel",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free about 1 GiB in the folder for temporary files, or name another with TMPDIR",
    ),
)
"""What a build prints, why it failed, and what to do."""


def diagnose(output: str) -> tuple[str, str] | None:
    """Reason and advice for a failed build, from all that it printed; None if not known."""
    for pattern, reason, advice in KNOWN:
        if re.search(pattern, output, re.IGNORECASE | re.MULTILINE):
            return reason, advice
    return None
