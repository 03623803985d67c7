"""Modules that own parameters."""
