"""Speed and memory, measured with their proof: what (rows), how (timing), what came of it (report).

`speed` makes the published table, `growth` and `parts` say where cost grows and where it goes, and
`memory` what a step takes. Nothing is timed before `check` has compared it with the reference.
"""
