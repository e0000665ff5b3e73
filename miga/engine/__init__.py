"""The engine: queues of frames at mixed noise levels, plans of windows over them, solvers, keyed noise."""
