"""Ask a judge about the stories of one entry's videos: rows of the long table, and what the judge said."""

from start import start

start(snakemake)

from pathlib import Path

from shards import videos_of

from eval import scores
from eval.narrlv import answers, judges, suite
from eval.narrlv.score import score_videos
from miga.sprites import story

params, settings = snakemake.params, snakemake.params.judge
judge = story.ReaderJudge() if settings["kind"] == "reader" else judges.build(settings["kind"], settings["params"])
if settings["suites"]:
    items = {item.id: item for item in suite.load(settings["suites"])}
else:
    items = {id: story.item(prompt) for id, prompt in params.prompts.items()}

table, answered = score_videos(
    videos_of(snakemake.input, params.prompts),
    items,
    judge,
    answers.Cache(params.cache),
    answers.Settings(settings["frames"], settings["votes"], settings["seed"]),
    settings["variant"],
    settings["parser"],
    suite.read_json(settings["aesthetics"]) if settings["aesthetics"] else None,
)
scores.write(table, snakemake.output.scores)
Path(snakemake.output.answers).mkdir(parents=True, exist_ok=True)
answers.write_answers(answered, snakemake.output.answers)
print(getattr(judge, "usage", "no server was asked"))
