"""Fetching with the real client against a local server that plays the hub."""

from __future__ import annotations

import json

import huggingface_hub.constants
import huggingface_hub.file_download
import pytest

from miga import models
from miga.experiment.digest import ROOT
from miga.experiment.needed import needed_by
from miga.models import fetch, registry
from tests.miga.hub import COMMIT, Hub
from tests.miga.tiny_models import tiny_wan

NAME = "wan2.1-1.3b"
BIG = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tiny_wan(tmp_path_factory.mktemp("published") / "wan")
    (folder / "README.md").write_text("not needed to run")
    return folder


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MIGA_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between retries
    hub = Hub(published, registry.get(NAME).repo)
    with hub.running() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield hub


def test_fetch_says_what_it_takes_then_loads(hub, published):
    said = []
    folder = fetch.fetch(NAME, said.append)
    size = sum(len(content) for name, content in hub.files.items() if name != "README.md") / 1e9
    assert f"{size:.2f} GB" in said[0] and COMMIT[:12] in said[0] and "Apache-2.0" in said[1]
    assert "README.md" not in hub.downloads and not (folder / "README.md").exists()
    assert not list(folder.rglob(".cache"))
    record = json.loads((folder.parent / f"{NAME}.json").read_text())
    assert record["revision"] == COMMIT and len(record["files"][BIG]["sha256"]) == 64
    assert record["files"]["vae/config.json"]["sha256"]  # the hub stated none: recorded at first use
    assert models.load(NAME).digest == models.load(published).digest


def test_what_is_here_is_not_asked_for_again(hub):
    fetch.fetch(NAME, lambda line: None)
    asked = len(hub.revisions)
    fetch.fetch(NAME, lambda line: None)
    assert len(hub.revisions) == asked


def test_a_recorded_revision_is_asked_for_again(hub, tmp_path):
    folder = fetch.fetch(NAME, lambda line: None)
    (folder / BIG).write_bytes(b"cut short")
    assert not fetch.is_complete(registry.get(NAME))
    fetch.fetch(NAME, lambda line: None)
    assert hub.revisions[0] == "main" and hub.revisions[-1] == COMMIT
    assert (folder / BIG).read_bytes() == hub.files[BIG]


def test_broken_download_goes_on_with_what_is_missing(hub):
    hub.cut.add(BIG)
    with pytest.raises(ValueError, match=rf"broke off.*miga models fetch {NAME}"):
        fetch.fetch(NAME, lambda line: None)
    with pytest.raises(ValueError, match="get them with"):
        models.load(NAME)
    hub.cut.clear()
    done = {name for name in hub.downloads if name != BIG}
    hub.downloads.clear()
    fetch.fetch(NAME, lambda line: None)
    assert BIG in hub.downloads and not done & set(hub.downloads)


def test_wrong_file_is_refused_and_removed(hub):
    hub.swapped[BIG] = bytes(len(hub.files[BIG]))
    with pytest.raises(ValueError, match=rf"{BIG} .* is not the expected file.*the hub states"):
        fetch.fetch(NAME, lambda line: None)
    hub.swapped.clear()
    fetch.fetch(NAME, lambda line: None)
    assert fetch.is_complete(registry.get(NAME))


def test_a_file_that_changed_since_the_first_fetch_is_refused(hub):
    import shutil

    folder = fetch.fetch(NAME, lambda line: None)
    shutil.rmtree(folder)
    hub.files["vae/config.json"] = hub.files["vae/config.json"] + b" "
    with pytest.raises(ValueError, match=r"vae/config.json .*the first fetch recorded"):
        fetch.fetch(NAME, lambda line: None)


def test_offline_and_unknown(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"cannot be read from the hub \(OfflineModeIsEnabled.*HF_ENDPOINT"):
        fetch.fetch(NAME, lambda line: None)
    with pytest.raises(ValueError, match=r"did you mean 'wan2\.1-14b'"):
        fetch.fetch("wan2.1-14", lambda line: None)


def test_no_space(hub, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), dict(free=0)))
    with pytest.raises(ValueError, match=r"0\.0 GB free.*MIGA_MODELS"):
        fetch.fetch(NAME, lambda line: None)
    assert not hub.downloads


def test_inventory(hub):
    before, features = fetch.inventory([NAME, "dino-vitb16"])
    assert not before.present and before.gigabytes == registry.get(NAME).gigabytes
    assert features.remedy == "miga models fetch dino-vitb16"
    folder = fetch.fetch(NAME, lambda line: None)
    (after,) = fetch.inventory([NAME])
    assert after.present and after.remedy == "" and after.folder == folder and 0 < after.gigabytes < 0.01


def test_models_in_folders_of_their_own_need_no_download(tmp_path, published):
    text = (ROOT / "config/suites/sprites.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("model: sprites-unet", f"model: {published}"))
    assert needed_by(str(tmp_path / "mine.yaml")) == ["sprites-wan"]
    assert needed_by("paper") == ["videocrafter2", "wan2.1-1.3b", "dino-vitb16"]
