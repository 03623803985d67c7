"""What a training step of the paper's WikiText-103 model costs.

`subject` is the model in training, in a process of its own; `measure` asks it, `derived` is what
follows from the answers for several devices, `sheets` and `picture` show both apart.
"""
