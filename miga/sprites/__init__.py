"""The sprites world: a drawn video domain with exact ground truth, its base models, their training, its judge."""
