"""The fused loop: a backward pass written by hand, products hoisted, packed or deferred.

`recurrence` has the loop over time and the autograd function, `step` one step forward and backward,
`attention` the attention of a step and the input rows. `tape` holds what the backward pass needs,
`weight_gradients` accumulates, `weights` prepares the parameters.
"""
