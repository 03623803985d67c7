"""The same recurrence for a CUDA device: matrix products by cuBLAS, the rest in Triton kernels.

Triton is imported with `autograd` and not before.
"""
