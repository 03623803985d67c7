"""The recurrence on a CUDA device: matrix products by cuBLAS, the rest in Triton kernels.

`recurrence` is the autograd function, `loop` the loop over time, `buffers` its memory, `graphs`
captures and lends loops, `self_check` compares the path with the reference on the device. Triton is
imported with `recurrence` and `self_check`, not with this package.
"""
