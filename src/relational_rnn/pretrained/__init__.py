"""Models that come with the package, one folder each, usable by name wherever a run is.

A folder holds ``config.yaml``, ``model.safetensors`` in bfloat16, ``metrics.csv`` of the training,
``summary.json`` with the figures of these weights and, for a language model, ``vocabulary.json``.
``python -m relational_rnn.pretrained RUN NAME`` (``make pretrained``) makes one of a run.
"""
