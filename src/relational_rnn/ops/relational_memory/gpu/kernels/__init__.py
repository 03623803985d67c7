"""Triton kernels of one step. No launches and no layout decisions here: those are `loop`'s."""
