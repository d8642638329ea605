"""Analyses as plug-ins, a family to a file: what they build of traces, and what they say of it."""
