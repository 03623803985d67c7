"""Drills: kill, damage, fill, fuzz and soak the package, and count what goes wrong.

They are not part of the wheel. ``python -m drills --help`` runs them; README.md describes them.
"""
