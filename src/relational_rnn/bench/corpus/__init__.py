"""What a corpus of WikiText-103's size costs to prepare and to stream.

`text` writes a made-up one, `subject` prepares and reads it in a process of its own, `measure` asks
and compares, `sheets` shows.
"""
