// --- a blind vote: two methods on one prompt, sides left to chance, votes exported as CSV -----------------------------
// Read back by `miga votes`, whose columns these are.
const COLUMNS = ["suite", "base", "prompt_id", "seed", "left", "right", "left_frames", "right_frames", "choice", "voter", "time"];

const ballot = {
  key: `miga-votes/${data.suite}`,
  votes: [],
  pairs: [],
  pair: null,

  load() {
    try { this.votes = JSON.parse(localStorage.getItem(this.key)) ?? []; } catch { this.votes = []; } // no storage, no memory
  },

  save() {
    try { localStorage.setItem(this.key, JSON.stringify(this.votes)); } catch { /* they stay until the page is closed */ }
  },

  // All pairs of contenders on one base model, prompt and seed.
  find() {
    const groups = new Map();
    for (const video of data.videos.filter((one) => !one.control)) {
      const key = JSON.stringify([video.base, video.prompt_id, video.seed]);
      groups.set(key, [...(groups.get(key) ?? []), video]);
    }
    this.pairs = [...groups.values()].flatMap((group) => group.flatMap((a, i) => group.slice(i + 1).map((b) => [a, b])));
  },

  // One of the pairs that were voted on least, so that no method is favoured and no pair is left out.
  next() {
    const name = (base, prompt, seed, a, b) => JSON.stringify([base, prompt, String(seed), ...[a, b].sort()]);
    const times = new Map();
    for (const v of this.votes) {
      const key = name(v.base, v.prompt_id, v.seed, v.left, v.right);
      times.set(key, (times.get(key) ?? 0) + 1);
    }
    const count = ([a, b]) => times.get(name(a.base, a.prompt_id, a.seed, a.entry, b.entry)) ?? 0;
    const least = Math.min(...this.pairs.map(count));
    const open = this.pairs.filter((pair) => count(pair) === least);
    const pair = open[Math.floor(Math.random() * open.length)];
    this.pair = Math.random() < 0.5 ? pair : [...pair].reverse();
    return this.pair;
  },

  take(choice) {
    const [left, right] = this.pair;
    this.votes.push({
      suite: data.suite, base: left.base, prompt_id: left.prompt_id, seed: left.seed, left: left.entry, right: right.entry,
      left_frames: left.frames_sha256 ?? "", right_frames: right.frames_sha256 ?? "", choice,
      voter: $("voter").value.trim(), time: new Date().toISOString(),
    });
    this.save();
  },

  csv() {
    const cell = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    return [COLUMNS, ...this.votes.map((vote) => COLUMNS.map((column) => vote[column]))]
      .map((row) => row.map(cell).join(",")).join("\n") + "\n";
  },
};

function showPair(on = false) {
  const pair = ballot.next();
  $("pair-text").textContent = pair[0].prompt;
  const shown = pair.map((video, side) => ({ video, element: screen(video, ["Left video", "Right video"][side]) }));
  $("pair").replaceChildren(...shown.map(({ element }, side) =>
    make("figure", {}, element, make("figcaption", { textContent: ["Left", "Right"][side] }))));
  pairPlayer.take(shown);
  pairPlayer.play(on);
  $("voted").textContent = `${ballot.votes.length} vote${ballot.votes.length === 1 ? "" : "s"}, ${ballot.pairs.length} pairs`;
}

function vote(choice) {
  const playing = pairPlayer.playing;
  ballot.take(choice);
  showPair(playing);
}

const pairPlayer = $("vote") && new Player("pair-");
if (pairPlayer) {
  ballot.find();
  ballot.load();
  const start = () => { if (!ballot.pair && !$("vote").hidden) showPair(); }; // no video is loaded that nobody looks at
  if (ballot.pairs.length) {
    new MutationObserver(start).observe($("vote"), { attributeFilter: ["hidden"] });
    start();
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.addEventListener("click", () => vote(button.dataset.choice));
    }
    onKeys($("vote"), {
      1: () => vote("left"), 2: () => vote("right"), 0: () => vote("tie"), " ": () => pairPlayer.play(!pairPlayer.playing),
      ArrowLeft: () => pairPlayer.step(-1), ArrowRight: () => pairPlayer.step(1),
    });
    $("export").addEventListener("click", () => {
      const link = make("a", { href: URL.createObjectURL(new Blob([ballot.csv()], { type: "text/csv" })), download: `votes-${data.suite}.csv` });
      link.click();
      URL.revokeObjectURL(link.href);
    });
    $("forget").addEventListener("click", () => {
      if (!confirm("Forget all votes that this browser keeps?")) return;
      ballot.votes = [];
      ballot.save();
      showPair();
    });
  } else {
    $("pair-text").textContent = "There are no two methods with a video of the same prompt and seed.";
  }
}
