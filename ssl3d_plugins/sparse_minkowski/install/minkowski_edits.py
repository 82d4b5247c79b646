"""The edits that MinkowskiEngine 0.5.4 needs to build and import today.

All are applied whatever is built: those for CUDA touch no file that a CPU build compiles, but for
`utils.hpp`, where the condition has the same value there. Kept wheels are named after these texts.
"""

from __future__ import annotations

from typing import Final

from ssl3d_plugins.sparse_minkowski.install.edits import Edit

_ABSTRACT_TYPES = "Python 3.10 moved the abstract collection types to collections.abc"
_NO_FUNCTION_BASE = "CUDA 13 removed thrust::unary_function; nothing reads its typedefs"
_NO_NVTX = "profiling only, and its NVTX headers are missing from some CUDA toolkits"
_PREFETCH = "CUDA 13 takes a location where earlier ones took a device number"
_SHARED_PTR = "the conversion from unique_ptr finds two __to_address; pointer and deleter by hand"
_THRUST_INCLUDES = "thrust headers stopped including each other"
_ATEN_FIRST = "ATen's CUDA utilities no longer include the tensor class that they use"
_NVCC_ONLY = "thrust headers need nvcc; plain C++ files of a CUDA build include this one too"

_HASH_MAP = "src/3rdparty/concurrent_unordered_map.cuh"
_ATEN_CONTEXT = "#include <ATen/cuda/CUDAContext.h>\n"
_PREFETCH_HELPER = """\
namespace {
inline cudaError_t prefetch_to_device(void const *pointer, std::size_t bytes,
                                      int device, cudaStream_t stream) {
#if CUDART_VERSION >= 13000
  cudaMemLocation location{};
  location.type = cudaMemLocationTypeDevice;
  location.id = device;
  return cudaMemPrefetchAsync(pointer, bytes, location, 0, stream);
#else
  return cudaMemPrefetchAsync(pointer, bytes, device, stream);
#endif
}
} // namespace

"""
_PREFETCH_VALUES = """\
CUDA_TRY(
{}cudaMemPrefetchAsync(m_hashtbl_values, m_capacity * sizeof(value_type), dev_id, stream));
"""
_CREATE_MAP = """\
map_type::create(
          compute_hash_table_size(size, m_hashtable_occupancy),
          m_unused_element, m_unused_key, m_hasher, m_equal, m_map_allocator);
"""


def _swap(path: str, lines: str, old: str, new: str, why: str) -> Edit:
    """`new` in place of `old` inside some lines."""
    return Edit(path, lines, lines.replace(old, new), why)


def _abstract_sequence(module: str) -> Edit:
    path, line = f"MinkowskiEngine/{module}.py", "\nfrom collections import Sequence\n"
    return _swap(path, line, "collections", "collections.abc", _ABSTRACT_TYPES)


def _prefetch(lines: str) -> Edit:
    return _swap(_HASH_MAP, lines, "cudaMemPrefetchAsync", "prefetch_to_device", _PREFETCH)


def _thrust(names: str) -> str:
    """Lines that include some of thrust's headers."""
    return "".join(f"#include <thrust/{name}.h>\n" for name in sorted(names.split()))


def _thrust_includes(path: str, *, beside: str, more: str) -> Edit:
    """The headers of what a file uses, which it got through others before."""
    return Edit(path, _thrust(beside), _thrust(f"{beside} {more}"), _THRUST_INCLUDES)


def _nvcc_only(next_line: str) -> Edit:
    lines = f"#ifndef CPU_ONLY\n{next_line}\n"
    return _swap("src/utils.hpp", lines, "#ifndef CPU_ONLY", "#ifdef __CUDACC__", _NVCC_ONLY)


PYTHON_EDITS: Final = (
    *map(_abstract_sequence, ("MinkowskiCommon", "MinkowskiCoordinateManager")),
    *map(_abstract_sequence, ("MinkowskiTensorField", "utils/quantization")),
    Edit(
        "MinkowskiEngine/MinkowskiKernelGenerator.py",
        "from collections import Sequence, namedtuple\n",
        "from collections import namedtuple\nfrom collections.abc import Sequence\n",
        _ABSTRACT_TYPES,
    ),
)

CUDA_EDITS: Final = (
    Edit(
        "src/coordinate_map_functors.cuh",
        "struct find_coordinate\n"
        "    : public thrust::unary_function<uint32_t,\n"
        "                                    thrust::pair<uint32_t, uint32_t>> {\n",
        "struct find_coordinate {\n",
        _NO_FUNCTION_BASE,
    ),
    Edit(
        _HASH_MAP,
        "#include <cudf/detail/nvtx/ranges.hpp>\n",
        _thrust("execution_policy"),
        _NO_NVTX,
    ),
    Edit(_HASH_MAP, "    CUDF_FUNC_RANGE();\n", "", _NO_NVTX),
    _swap(
        _HASH_MAP,
        "namespace {\ntemplate <std::size_t N>\nstruct packed {\n",
        "namespace {\ntemplate",
        _PREFETCH_HELPER + "namespace {\ntemplate",
        _PREFETCH,
    ),
    _prefetch("      " + _PREFETCH_VALUES.format(" " * 8)),
    _prefetch("    CUDA_TRY(cudaMemPrefetchAsync(this, sizeof(*this), dev_id, stream));\n"),
    _prefetch("        " + _PREFETCH_VALUES.format(" " * 10)),
    Edit(
        "src/coordinate_map_gpu.cuh",
        f"      m_map = {_CREATE_MAP}",
        f"      auto created = {_CREATE_MAP}"
        "      auto deleter = created.get_deleter();\n"
        "      m_map = std::shared_ptr<map_type>(created.release(), deleter);\n",
        _SHARED_PTR,
    ),
    _thrust_includes("src/coordinate_map_functors.cuh", beside="pair", more="tuple"),
    _thrust_includes(
        "src/coordinate_map_gpu.cu",
        beside="sort",
        more="for_each iterator/zip_iterator remove scan sequence transform tuple unique",
    ),
    _thrust_includes(
        "src/kernel_map.cuh",
        beside="sort",
        more="fill functional host_vector iterator/zip_iterator reduce tuple",
    ),
    _thrust_includes("src/pooling_max_kernel.cu", beside="sort", more="sequence"),
    Edit(
        "src/storage.cuh",
        '#include "utils.hpp"\n',
        '#include "utils.hpp"\n' + _thrust("device_vector"),
        _THRUST_INCLUDES,
    ),
    Edit(
        "src/spmm.cu",
        _ATEN_CONTEXT,
        _thrust("execution_policy iterator/zip_iterator reduce sort tuple")
        + f"\n#include <ATen/ATen.h>\n{_ATEN_CONTEXT}",
        f"{_ATEN_FIRST}; {_THRUST_INCLUDES}",
    ),
    Edit("src/spmm.cuh", _ATEN_CONTEXT, f"#include <ATen/ATen.h>\n{_ATEN_CONTEXT}", _ATEN_FIRST),
    _nvcc_only("#include <thrust/host_vector.h>"),
    _nvcc_only("template <typename T>"),
)

MINKOWSKI_EDITS: Final = PYTHON_EDITS + CUDA_EDITS
