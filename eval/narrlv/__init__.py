"""NarrLV (Feng et al., 2025, arXiv:2507.11245): does a long video tell what its prompt tells? Our own driver.

suite      prompts and questions: typed records, reading, fetching, writing
questions  questions for prompts of one's own, through a judge
benchmark  what a suite says about it, and its place among the benchmarks
judges     who answers: an OpenAI-compatible server, Qwen2.5-VL in this process, or any object of the same contract
answers    frames, cache, concurrency: from videos to votes, resumable
metric     from votes to R_fid, R_cov, R_coh
"""

from eval.registry import Registry

JUDGES = Registry("miga.judges", "judge")  # who answers questions about videos, by name
