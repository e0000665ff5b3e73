"""Scores, statistics, tables and reports. Reads videos and their sidecar files; knows neither models nor methods.

video.py        frames of a file, streamed; says why a file cannot be read
cards.py        what each metric is: label, range, direction, version
vbench/         the metrics of VBench, ours and the official package's; narrlv/: narrative scores
scores.py       the one long table that everything below is a pure function of, and the sidecars
statistics.py   means and paired differences with bootstrap intervals over prompts
tables.py  plots.py  leaderboard.py  quality.py  report/  manifest.py  track.py
"""
