"""HOW views are computed, once: Summarise over segments, for both layers, and its Beam coders.

Not here: sources, sinks and runners, which the layers bring.
"""
