"""What torch says in its many ways, in words that the worker goes by."""

from __future__ import annotations

import pytest

from limner.worker.engines import FatalEngineError
from limner.worker.model_terms import memory_errors_named


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", MemoryError),
        ("CUDA error: out of memory", MemoryError),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", MemoryError),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", MemoryError),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", MemoryError),
        ("CUDA error: an illegal memory access was encountered", FatalEngineError),
        ("shapes cannot be multiplied", RuntimeError),
    ],
)
def test_faults_are_told_apart(said: str, meant: type[Exception]) -> None:
    with pytest.raises(meant) as caught, memory_errors_named():
        raise RuntimeError(f"{said}\nand more")
    assert type(caught.value) is meant
    assert said in str(caught.value)
