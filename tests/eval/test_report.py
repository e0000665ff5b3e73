"""The report is opened in a headless Chromium: sorted, filtered, voted on, and videos played from the keyboard."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import matplotlib.image
import pandas as pd
import pytest

from eval import manifest, plots, quality, records, report, scores, tables, votes
from tests.eval.browser import CHROMIUM, Browser
from tests.eval.conftest import ENTRIES, LABELS, MAIN, made_up_scores, made_up_sidecars

NASTY = """</script><script>document.title="taken"</script> "a" 'b' & <img src=x onerror='document.title="taken"'> 🦊"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    table = made_up_scores(2, 1, ("sprites-unet", "sprites-wan"))
    table.loc[0, ["value", "reason"]] = [None, NASTY]
    paths = made_up_sidecars(root, table, videos=True)
    for path in paths:
        if path.parent.name == "p01":
            path.write_text(json.dumps(json.loads(path.read_text()) | {"prompt": NASTY}))
    paths[-1].with_suffix(".mp4").unlink()
    folder, facts = root / "sprites", records.collect(paths, LABELS)
    scores.write(table, folder / "scores.parquet")
    records.write(facts, folder / "videos.parquet")
    tables.write(tables.comparison("vbench", f"Made up {NASTY}", table, facts, MAIN, resamples=100), folder / "tables")
    tables.write(tables.cost(facts), folder / "tables")
    paired = tables.differences("differences", "Made up: paired differences", table, facts, "miga", MAIN, resamples=100)
    tables.write(paired, folder / "tables")
    plots.consistency_motion(table, facts, folder / "plots/consistency_motion", columns=MAIN)
    quality.write(quality.grade(table, facts), folder / "quality.json")
    manifest.write(manifest.build(folder, "make reproduce", {}, {}), folder / "manifest.json")
    return report.write(folder, f"Sprites {NASTY}", NASTY, list(ENTRIES), ["vbench"]).parents[1]


@pytest.fixture(scope="module")
def page(suite, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    browser.open(suite / "report/index.html")
    yield browser
    browser.close()


def test_the_page_needs_nothing_but_the_suites_own_files(suite):
    class Links(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag, attributes):
            self.found += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]

    Links().feed((suite / "report/index.html").read_text())
    assert Links.found
    assert all((suite / "report" / link).is_file() for link in Links.found)


def test_the_gallery_has_every_video_with_its_scores_and_order(suite):
    videos, long = records.read(suite / "videos.parquet"), scores.read(suite / "scores.parquet")
    shown = report.gallery(videos, long, list(ENTRIES))
    assert len(shown) == 20 and [one["entry"] for one in shown[::4]] == list(ENTRIES)
    (own,) = shown[0]["scores"].values()
    assert own["subject_consistency"] is None and shown[0]["model_calls"] == 48 * 34
    only = report.gallery(videos, long, ["static", "miga"])
    assert [record["entry"] for record in only] == ["static"] * 4 + ["miga"] * 4


def test_two_protocols_of_one_metric_stand_side_by_side(suite):
    videos, plain = records.read(suite / "videos.parquet"), scores.read(suite / "scores.parquet")
    long = plain.assign(protocol="vbench-long", value=plain["value"] / 2)
    shown = report.gallery(videos, pd.concat([plain, long]), list(ENTRIES))
    for one in shown[1:]:
        first, second = one["scores"].values()
        assert list(one["scores"])[1] == "vbench-long" and first.keys() == second.keys()
        assert second["motion_smoothness"] == first["motion_smoothness"] / 2


def test_controls_and_videos_of_others_are_counted_apart(suite):
    videos, long = records.read(suite / "videos.parquet"), scores.read(suite / "scores.parquet")
    found = report._summary(long, videos)
    assert (found["methods"], found["controls"], found["base models"]) == (3, 2, 2) and "imported rows" not in found
    theirs = videos["entry"] == "freelong"
    videos.loc[theirs, ["method", "origin"]] = "external"
    found = report._summary(long.assign(method=long["method"].where(long["entry"] != "freelong", "external")), videos)
    assert (found["methods"], found["imported rows"]) == (2, 1)


def test_nothing_in_a_prompt_a_title_or_a_reason_is_run(page):
    assert page.js("document.title").startswith("Sprites </script>")
    assert page.js("document.images.length") == 1
    assert page.js("document.querySelector('figure.table figcaption').textContent.includes('🦊')")


def column(page, place):
    return page.js(
        f"[...document.querySelectorAll('#table-vbench tbody tr')].map(r => r.children[{place}].dataset.value)"
    )


def test_sorting_by_a_click(page):
    head = "document.querySelectorAll('#table-vbench thead th')[2]"
    before = column(page, 2)
    page.js(f"{head}.querySelector('button').click()")
    falling = [float(value) for value in column(page, 2) if value]
    assert falling == sorted(falling, reverse=True) and sorted(column(page, 2)) == sorted(before)
    page.js(f"{head}.querySelector('button').click()")
    rising = [float(value) for value in column(page, 2) if value]
    assert rising == sorted(rising) and page.js(f"{head}.ariaSort") == "ascending"


def test_filtering(page):
    visible = "[...document.querySelectorAll('#table-vbench tbody tr')].filter(r => !r.hidden).length"
    said = "document.getElementById('filtered').textContent"
    assert page.js(visible) == 6 and page.js(said) == "4 controls folded away"
    page.js("(f => { f.value = 'wan free'; f.dispatchEvent(new Event('input')) })(document.getElementById('filter'))")
    assert page.js(visible) == 1 and page.js(said) == "1 of 10 rows"
    page.js("(f => { f.value = ''; f.dispatchEvent(new Event('input')) })(document.getElementById('filter'))")
    page.js("document.getElementById('controls').click()")
    assert page.js(visible) == 10 and page.js(said) == ""


def test_intervals_are_at_a_switch_and_on_hover(page):
    seen = "getComputedStyle(document.querySelector('#table-vbench .interval')).display"
    assert page.js(seen) == "none"
    page.js("document.getElementById('intervals').click()")
    assert page.js(seen) != "none"
    titles = page.js("[...document.querySelectorAll('#table-vbench tbody td.number')].map(cell => cell.title)")
    assert all(title.endswith("of 2 videos") for title in titles if title)
    assert all("[" in title for title in titles if title.endswith(", 2 of 2 videos"))


def test_a_row_of_videos_plays_in_step_from_the_keyboard(page, tmp_path):
    loaded = """Promise.all([...document.querySelectorAll('#videos video')].map(v =>
        v.readyState >= 2 || new Promise((done, failed) => { v.addEventListener('loadeddata', done); })))"""
    frame, times = "player.frame", "player.videos.map(({ element }) => element.currentTime)"
    page.js("document.getElementById('gallery').scrollIntoView()")
    assert page.js("document.querySelectorAll('#videos video').length") == 3  # controls are folded away
    page.js("document.getElementById('wall-controls').click()")
    page.js(loaded)
    assert page.js("document.querySelectorAll('#videos video').length") == 5
    for _ in range(3):
        page.press("ArrowRight")
    assert page.js(frame) == 3 and page.js(times) == pytest.approx([3.5 / 8] * 5)
    page.press("End")
    assert page.js(frame) == 47 and page.js("document.getElementById('frame').textContent") == "frame 48 of 48"
    page.press("Home")
    page.press(" ")
    page.js("new Promise(done => { const wait = () => player.frame >= 4 ? done() : setTimeout(wait, 20); wait(); })")
    page.press(" ")
    at = page.js(times)
    assert page.js("player.playing") is False and max(at) - min(at) < 0.02 and page.js(frame) >= 4
    red, green, blue = matplotlib.image.imread(page.screenshot(tmp_path / "page.png"))[..., :3].transpose(2, 0, 1)
    assert ((red > 0.8) & (green > 0.75) & (blue < 0.4)).sum() > 2000  # the yellow squares are to be seen


def test_the_next_prompt_is_shown_as_text_and_a_missing_video_says_so(page):
    page.press("n")
    assert page.js("document.getElementById('text').textContent") == NASTY
    assert page.js("document.title").startswith("Sprites")
    page.js("(b => { b.value = 'sprites-wan'; b.dispatchEvent(new Event('change')) })(document.getElementById('base'))")
    failed = "document.querySelector('.failed')"
    page.js(f"new Promise(done => {{ const wait = () => {failed} ? done() : setTimeout(wait, 20); wait(); }})")
    assert page.js(f"{failed}.textContent") == "This video is missing or cannot be played."
    assert page.js("document.querySelectorAll('#videos video').length") == 4
    marks = "[...document.querySelectorAll('article h3')].map(h => h.textContent)"
    assert page.js(marks).count("FreeLong our port") == 1


def test_tables_mark_our_ports_and_say_n_of_n(page):
    cells = "[...document.querySelectorAll('#table-vbench tbody tr')].map(r => r.children[1].textContent)"
    assert page.js(cells).count("FreeLong our port") == 1
    assert page.js("document.querySelector('#table-cost tbody tr').lastElementChild.textContent") == "2 of 2"


def test_quality_control_is_one_line(page):
    assert page.js("document.querySelectorAll('#quality').length") == 1
    assert page.js("document.querySelector('#quality summary').textContent").split("·")[1:]


def test_what_was_found_comes_first(page):
    first, second, third = page.js("[...document.querySelectorAll('main section')].slice(0, 3).map(s => s.id)")
    assert (first, second, third) == ("found", "gallery", "long")
    better, worse, best = page.js("[...document.querySelectorAll('.found li')].map(li => li.textContent)")
    assert better.startswith("MIGA is better on sprites-unet in") and "most of all than FIFO-Diffusion (" in better
    assert worse == "MIGA is worse on sprites-unet in nothing for certain; on sprites-wan in nothing for certain."
    assert best.startswith("Overall, which rewards standing still: on sprites-unet MIGA 9") and best.endswith(
        "] is best."
    )


def test_charts_show_what_the_table_says(page):
    lines = "[...document.querySelector('.dots').querySelectorAll('li')].map(li => li.innerText.split(/\\s*\\n\\s*/))"
    drift = dict(page.js(lines))
    assert next(iter(drift)) == "MIGA" and float(drift["FIFO-Diffusion"]) > float(drift["MIGA"])


def test_tabs_by_keyboard(page):
    selected = "document.querySelector('[role=tab][aria-selected=true]').textContent"
    visible = "[...document.querySelectorAll('[role=tabpanel]')].filter(p => !p.hidden).map(p => p.id)"
    page.js("document.querySelector('[role=tab]').focus()")
    assert (page.js(selected), page.js(visible)) == ("Cost", ["panel-cost"])
    page.press("ArrowRight")
    assert (page.js(selected), page.js(visible)) == ("Paired differences", ["panel-differences"])
    page.press("End")
    assert page.js(visible) == ["provenance"] and page.js("document.activeElement.id") == "tab-provenance"


def test_a_blind_vote_is_read_back(page, suite, tmp_path):
    page.js("location.hash = '#vote'")
    page.js("new Promise(done => { const wait = () => ballot.pair ? done() : setTimeout(wait, 20); wait(); })")
    page.js("document.getElementById('vote').scrollIntoView({ block: 'center' })")
    assert page.js("document.querySelector('#pair').textContent") == "LeftRight"  # no names
    page.js("document.getElementById('voter').value = 'a, \"b\"'")
    page.js("document.querySelector('[data-choice=left]').click()")
    for key in "120":
        page.press(key)
    assert page.js("document.getElementById('voted').textContent") == "4 votes, 12 pairs"
    path = tmp_path / "votes.csv"
    path.write_text(page.js("ballot.csv()"))
    cast = votes.read([path], suite)
    assert [vote.choice for vote in cast] == ["left", "left", "right", "tie"] and cast[0].voter == 'a, "b"'
    pairs = page.js("ballot.votes.map(v => [v.base, v.prompt_id, v.left, v.right].join())")
    assert len(set(pairs)) == 4 and not {"static", "shuffled"} & {cast[0].left, cast[0].right}


def test_on_paper_every_column_is_there(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    page.call("Emulation.setDeviceMetricsOverride", width=1030, height=700, deviceScaleFactor=1, mobile=False)
    overflow = "Math.max(...[...document.querySelectorAll('.scroll')].map(s => s.scrollWidth - s.clientWidth))"
    assert page.js(overflow) <= 0
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setEmulatedMedia", media="")


def test_each_video_links_to_its_sidecar(page, suite):
    page.js("(box => box.checked || box.click())(document.getElementById('wall-controls'))")
    links = page.js("[...document.querySelectorAll('article a')].map(a => a.getAttribute('href'))")
    assert len(links) == 5 and all((suite / "report" / link).is_file() for link in links)


def test_a_narrow_screen_needs_no_scrolling_sideways(page):
    page.call("Emulation.setDeviceMetricsOverride", width=375, height=800, deviceScaleFactor=1, mobile=True)
    assert page.js("document.documentElement.scrollWidth") <= 375
    page.call("Emulation.clearDeviceMetricsOverride")


def test_everything_that_acts_has_a_name(page):
    """As a screen reader would say it: the accessibility tree that Chromium computes."""
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    acting = ("button", "link", "textbox", "searchbox", "checkbox", "combobox", "slider", "tab", "tabpanel", "region")
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in acting]
    assert len(found) > 40
    assert [node["role"]["value"] for node in found if not node["name"]["value"].strip()] == []


def test_light_and_dark(page):
    back = "getComputedStyle(document.body).backgroundColor"
    before = page.js(back)
    page.js("document.getElementById('theme').click()")
    assert page.js(back) != before


def test_the_page_made_no_errors_of_its_own(page):
    assert [error for error in page.errors if "ERR_FILE_NOT_FOUND" not in error] == []
