"""Speed and memory, measured with their proof: what (rows), how (timing), what came of it (report).

`speed` makes the published table, `growth` and `parts` say where cost grows and where it goes, and
`memory` what a step takes; `scale` and `corpus` measure a model and a text of WikiText-103's size.
Nothing is timed before `check` has compared it with the reference.
"""
