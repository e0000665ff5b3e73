"""The sprites world: a drawn video domain with exact ground truth, its base models, their training, its judge."""

READING = "reading"  # the part of the pass over a video that ground truth reads
