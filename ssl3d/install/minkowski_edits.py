"""The edits that MinkowskiEngine 0.5.4 needs to build and import today.

All are applied whatever is built: those for CUDA touch no file that a CPU build compiles, but for
`utils.hpp`, where the condition has the same value there.
"""

from __future__ import annotations

from typing import Final

from ssl3d.install.edits import Edit

_ABSTRACT_TYPES = "Python 3.10 moved the abstract collection types to collections.abc"
_NO_FUNCTION_BASE = "CUDA 13 removed thrust::unary_function; nothing reads its typedefs"
_NO_NVTX = "profiling only, and its NVTX headers are missing from some CUDA toolkits"
_PREFETCH = "CUDA 13 takes a location where earlier ones took a device number"
_SHARED_PTR = "the conversion from unique_ptr finds two __to_address; pointer and deleter by hand"
_THRUST_INCLUDES = "thrust headers stopped including each other"
_ATEN_FIRST = "ATen's CUDA utilities no longer include the tensor class that they use"
_NVCC_ONLY = "thrust headers need nvcc; plain C++ files of a CUDA build include this one too"

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


def _abstract_sequence(path: str) -> Edit:
    return Edit(
        path=path,
        old="\nfrom collections import Sequence\n",
        new="\nfrom collections.abc import Sequence\n",
        why=_ABSTRACT_TYPES,
    )


def _thrust_includes(path: str, *, beside: str, more: tuple[str, ...]) -> Edit:
    """The headers of what a file uses, which it got through others before."""
    old = f"#include <thrust/{beside}.h>\n"
    new = "".join(f"#include <thrust/{name}.h>\n" for name in sorted((beside, *more)))
    return Edit(path=path, old=old, new=new, why=_THRUST_INCLUDES)


PYTHON_EDITS: Final = (
    _abstract_sequence("MinkowskiEngine/MinkowskiCommon.py"),
    _abstract_sequence("MinkowskiEngine/MinkowskiCoordinateManager.py"),
    _abstract_sequence("MinkowskiEngine/MinkowskiTensorField.py"),
    _abstract_sequence("MinkowskiEngine/utils/quantization.py"),
    Edit(
        path="MinkowskiEngine/MinkowskiKernelGenerator.py",
        old="from collections import Sequence, namedtuple\n",
        new="from collections import namedtuple\nfrom collections.abc import Sequence\n",
        why=_ABSTRACT_TYPES,
    ),
)

_HASH_MAP = "src/3rdparty/concurrent_unordered_map.cuh"

CUDA_EDITS: Final = (
    Edit(
        path="src/coordinate_map_functors.cuh",
        old=(
            "struct find_coordinate\n"
            "    : public thrust::unary_function<uint32_t,\n"
            "                                    thrust::pair<uint32_t, uint32_t>> {\n"
        ),
        new="struct find_coordinate {\n",
        why=_NO_FUNCTION_BASE,
    ),
    Edit(
        path=_HASH_MAP,
        old="#include <cudf/detail/nvtx/ranges.hpp>\n",
        new="#include <thrust/execution_policy.h>\n",
        why=_NO_NVTX,
    ),
    Edit(
        path=_HASH_MAP,
        old="    CUDF_FUNC_RANGE();\n",
        new="",
        why=_NO_NVTX,
    ),
    Edit(
        path=_HASH_MAP,
        old="namespace {\ntemplate <std::size_t N>\nstruct packed {\n",
        new=_PREFETCH_HELPER + "namespace {\ntemplate <std::size_t N>\nstruct packed {\n",
        why=_PREFETCH,
    ),
    Edit(
        path=_HASH_MAP,
        old=(
            "      CUDA_TRY(\n"
            "        cudaMemPrefetchAsync(m_hashtbl_values, m_capacity * sizeof(value_type), "
            "dev_id, stream));\n"
        ),
        new=(
            "      CUDA_TRY(\n"
            "        prefetch_to_device(m_hashtbl_values, m_capacity * sizeof(value_type), "
            "dev_id, stream));\n"
        ),
        why=_PREFETCH,
    ),
    Edit(
        path=_HASH_MAP,
        old="    CUDA_TRY(cudaMemPrefetchAsync(this, sizeof(*this), dev_id, stream));\n",
        new="    CUDA_TRY(prefetch_to_device(this, sizeof(*this), dev_id, stream));\n",
        why=_PREFETCH,
    ),
    Edit(
        path=_HASH_MAP,
        old=(
            "        CUDA_TRY(\n"
            "          cudaMemPrefetchAsync(m_hashtbl_values, m_capacity * sizeof(value_type), "
            "dev_id, stream));\n"
        ),
        new=(
            "        CUDA_TRY(\n"
            "          prefetch_to_device(m_hashtbl_values, m_capacity * sizeof(value_type), "
            "dev_id, stream));\n"
        ),
        why=_PREFETCH,
    ),
    Edit(
        path="src/coordinate_map_gpu.cuh",
        old=(
            "      m_map = map_type::create(\n"
            "          compute_hash_table_size(size, m_hashtable_occupancy),\n"
            "          m_unused_element, m_unused_key, m_hasher, m_equal, m_map_allocator);\n"
        ),
        new=(
            "      auto created = map_type::create(\n"
            "          compute_hash_table_size(size, m_hashtable_occupancy),\n"
            "          m_unused_element, m_unused_key, m_hasher, m_equal, m_map_allocator);\n"
            "      auto deleter = created.get_deleter();\n"
            "      m_map = std::shared_ptr<map_type>(created.release(), deleter);\n"
        ),
        why=_SHARED_PTR,
    ),
    _thrust_includes("src/coordinate_map_functors.cuh", beside="pair", more=("tuple",)),
    _thrust_includes(
        "src/coordinate_map_gpu.cu",
        beside="sort",
        more=(
            *("for_each", "iterator/zip_iterator", "remove", "scan", "sequence", "transform"),
            *("tuple", "unique"),
        ),
    ),
    _thrust_includes(
        "src/kernel_map.cuh",
        beside="sort",
        more=("fill", "functional", "host_vector", "iterator/zip_iterator", "reduce", "tuple"),
    ),
    _thrust_includes("src/pooling_max_kernel.cu", beside="sort", more=("sequence",)),
    Edit(
        path="src/storage.cuh",
        old='#include "utils.hpp"\n',
        new='#include "utils.hpp"\n#include <thrust/device_vector.h>\n',
        why=_THRUST_INCLUDES,
    ),
    Edit(
        path="src/spmm.cu",
        old="#include <ATen/cuda/CUDAContext.h>\n",
        new=(
            "#include <thrust/execution_policy.h>\n"
            "#include <thrust/iterator/zip_iterator.h>\n"
            "#include <thrust/reduce.h>\n"
            "#include <thrust/sort.h>\n"
            "#include <thrust/tuple.h>\n"
            "\n"
            "#include <ATen/ATen.h>\n"
            "#include <ATen/cuda/CUDAContext.h>\n"
        ),
        why=_ATEN_FIRST + "; " + _THRUST_INCLUDES,
    ),
    Edit(
        path="src/spmm.cuh",
        old="#include <ATen/cuda/CUDAContext.h>\n",
        new="#include <ATen/ATen.h>\n#include <ATen/cuda/CUDAContext.h>\n",
        why=_ATEN_FIRST,
    ),
    Edit(
        path="src/utils.hpp",
        old="#ifndef CPU_ONLY\n#include <thrust/host_vector.h>\n",
        new="#ifdef __CUDACC__\n#include <thrust/host_vector.h>\n",
        why=_NVCC_ONLY,
    ),
    Edit(
        path="src/utils.hpp",
        old="#ifndef CPU_ONLY\ntemplate <typename T>\n",
        new="#ifdef __CUDACC__\ntemplate <typename T>\n",
        why=_NVCC_ONLY,
    ),
)

MINKOWSKI_EDITS: Final = PYTHON_EDITS + CUDA_EDITS
