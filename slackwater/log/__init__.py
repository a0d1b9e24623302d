"""Kafka: topics, positions, marks, and the codecs of events and deltas. The only room that imports kafka.

Not here: what is computed (`views`), which cells exist (`speed_layer.tiling`), what is published (`versions`).
"""
