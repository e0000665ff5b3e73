"""The methods that MIGA is compared with, one package each, on the engine of `miga`."""
