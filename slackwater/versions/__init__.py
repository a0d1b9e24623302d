"""The published generations: manifest, pointer, hashes, archive listing."""
