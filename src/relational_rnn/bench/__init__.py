"""Benchmarks: speed and memory, compared with the reference implementation before they are timed.

What is measured: `cases` (model variants at given sizes) and `work` (the core, its matrix products
alone, a whole training step; the baseline model).

How: `check` (outputs and gradients against the reference), `timing` (interleaved rounds),
`process_memory` (resident size and peaks) and `worker` (a process for each case).

Measurements, one `Measurement` object each: `speed` (the published table), `sizes` (cores of many
sizes), `growth` (cost over one size), `profile` (the parts of a training step), `memory_growth`
(resident size over many steps), `scale` (a model of WikiText-103's size), `corpus` (a text of that
size), `batches` (generated examples), `busy` (training next to other programs).

Output: `tables` and `pictures` have the shared parts, `report` has the registry of measurements and
prints and writes any result.
"""
