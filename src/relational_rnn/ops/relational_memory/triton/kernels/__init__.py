"""The Triton kernels of one step. `loop` launches them and lays out their arguments."""
