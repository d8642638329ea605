"""Figures of training traces. The only part of the project that imports matplotlib and seaborn.

A figure has two halves. `build` gives a lazy Dataset that holds every number of the picture; `draw` turns
that Dataset, once computed, into a matplotlib Figure and computes nothing. The figures there are stand in
`analyses.figures.registry`; `analyses.figures.saving` writes them to files.
"""
