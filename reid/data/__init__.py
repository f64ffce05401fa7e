"""From raw files to batches: manifest, readers, images, transforms, samplers, synthetic worlds."""
