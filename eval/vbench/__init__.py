"""The dimensions of VBench on any backbone, and VBench's own networks and package.

metrics.py    the formulas, on features and differences
cards.py      the metrics: cards with these formulas
benchmark.py  the benchmarks that suites name; lens.py: what their networks need
score.py      one pass over a video gives every metric; many videos give the long table
folder.py     folders of videos without sidecars, and runs that were cut off
matching.py   classical motion and interpolation, for suites without weights
backbones.py  the networks of VBench without torchvision
official.py   the `vbench` package itself, in its own environment
"""

VBENCH = ("subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering")
CUSTOM = (*VBENCH, "dynamic_degree", "aesthetic_quality", "imaging_quality")  # what it knows of custom videos
STANDARD = (*VBENCH, "motion", "drift")  # what is scored where nobody says what
