"""The published generations: manifest, pointer, hashes, archive listing.

Not here: how a version is computed (`batch_layer`), or how it is queried (`serving`).
"""
