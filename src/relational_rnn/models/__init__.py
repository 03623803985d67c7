"""Whole models: an embedding or encoder, a recurrent core, a head."""
