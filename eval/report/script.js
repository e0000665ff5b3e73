"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);

// --- light and dark: the system's choice until the reader chooses -----------------------------------------------------
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });

// --- tables: sort by a click on a heading, filter by words ------------------------------------------------------------
function sortBy(header) {
  const table = header.closest("table");
  const place = [...header.parentNode.children].indexOf(header);
  const numeric = header.classList.contains("number");
  const first = numeric ? "descending" : "ascending";
  const order = header.ariaSort === first ? (numeric ? "ascending" : "descending") : first;
  for (const other of header.parentNode.children) other.ariaSort = "none";
  header.ariaSort = order;
  const value = (row) => row.children[place].dataset.value;
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (numeric) return x === "" || y === "" ? (x === "") - (y === "") : sign * (Number(x) - Number(y)); // none goes last
    return sign * x.localeCompare(y, "en", { numeric: true });
  });
  table.tBodies[0].append(...rows);
}
for (const header of document.querySelectorAll("thead th")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}

function filterRows() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  for (const row of document.querySelectorAll("#tables tbody tr")) {
    const text = [...row.children].filter((cell) => !cell.classList.contains("number")).map((c) => c.dataset.value);
    const fits = words.every((word) => text.join(" ").toLowerCase().includes(word));
    row.hidden = !fits || (row.classList.contains("control") && !$("controls").checked);
    all += 1;
    shown += !row.hidden;
  }
  $("filtered").textContent = shown < all ? `${shown} of ${all} rows` : "";
}
$("filter").addEventListener("input", filterRows);
$("controls").addEventListener("change", filterRows);
$("intervals").addEventListener("change", () => $("tables").classList.toggle("no-intervals", !$("intervals").checked));

// --- gallery: one clock moves all videos -----------------------------------------------------------------------------
const unique = (values) => [...new Set(values)];
const fixed = (value, digits) => (Number(value.toFixed(digits)) + 0).toFixed(digits).replace("-", "−"); // no negative zero

function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => String(value) === before)) select.value = before;
}

const player = { videos: [], frames: 0, fps: 8, playing: false, frame: 0, since: 0, from: 0 };

function facts(video) {
  const scores = data.metrics
    .filter((metric) => metric.name in video.scores)
    .map((metric) => {
      const value = video.scores[metric.name];
      return `${metric.short} ${value === null ? "–" : fixed(value * metric.scale, metric.digits)}`;
    });
  const cost = [`${video.frames} frames`, `${video.fps} fps`];
  if (video.model_calls !== null) cost.push(`${video.model_calls} calls`);
  if (video.wall_seconds !== null) cost.push(`${fixed(video.wall_seconds, 1)} s`);
  if (video.version) cost.push(`version ${video.version}`);
  if (video.frames_sha256) cost.push(`frames ${video.frames_sha256.slice(0, 8)}`);
  return [scores, cost].map((parts) => parts.map((part) => part.replaceAll(" ", "\u00a0")).join(" · "));
}

function card(video) {
  const box = document.createElement("article");
  box.className = "video";
  const element = document.createElement("video");
  Object.assign(element, { src: video.src, muted: true, playsInline: true, preload: "auto" });
  element.setAttribute("aria-label", `${video.label}: ${video.prompt}`);
  element.addEventListener("error", () => {
    const failed = document.createElement("p");
    failed.className = "failed";
    failed.textContent = "This video is missing or cannot be played.";
    element.replaceWith(failed);
  });
  element.addEventListener("loadeddata", () => {
    element.classList.toggle("tiny", element.videoWidth < 160); // its pixels are to be seen, not blurred
    place(element);
  });
  const name = document.createElement("h3");
  name.textContent = video.label;
  for (const [is, text] of [[video.control, " control"], [video.port, " our port"]]) {
    if (is) name.append(Object.assign(document.createElement("small"), { textContent: text }));
  }
  const paragraphs = facts(video).map((text) => Object.assign(document.createElement("p"), { textContent: text }));
  const sidecar = Object.assign(document.createElement("a"), { href: video.sidecar, textContent: "all facts" });
  sidecar.setAttribute("aria-label", `All facts of this video: ${video.label}`);
  paragraphs.at(-1).append(" · ", sidecar);
  box.append(element, name, ...paragraphs);
  return { box, element, video };
}

// A video that is shorter than the others stays on its last frame.
function place(element) {
  const end = Number.isFinite(element.duration) ? element.duration - 0.5 / player.fps : 0;
  element.currentTime = Math.max(0, Math.min((player.frame + 0.5) / player.fps, end));
}

function show(frame, move = true) {
  player.frame = Math.max(0, Math.min(frame, player.frames - 1));
  $("scrub").value = player.frame;
  $("frame").textContent = `frame ${player.frame + 1} of ${player.frames}`;
  if (move) for (const { element } of player.videos) place(element);
}

function play(on) {
  player.playing = on && player.frames > 1;
  $("play").textContent = player.playing ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", player.playing);
  if (player.playing) {
    if (player.frame >= player.frames - 1) show(0);
    player.since = performance.now();
    player.from = player.frame;
    requestAnimationFrame(tick);
  }
}

function tick(now) {
  if (!player.playing) return;
  const passed = ((now - player.since) / 1000) * player.fps * Number($("speed").value);
  const frame = (player.from + Math.floor(Math.max(0, passed))) % player.frames;
  if (frame !== player.frame) show(frame);
  requestAnimationFrame(tick);
}

function chosen() {
  const [base, prompt, seed] = [$("base").value, $("prompt").value, $("seed").value];
  return data.videos.filter((v) => v.base === base && v.prompt_id === prompt && String(v.seed) === seed);
}

function choose() {
  const own = data.videos.filter((video) => video.base === $("base").value);
  const texts = new Map(own.map((video) => [video.prompt_id, video.prompt]));
  const cut = (text) => (text.length > 90 ? `${text.slice(0, 88)}…` : text);
  fill($("prompt"), [...texts].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([id, text]) => [id, `${id}: ${cut(text)}`]));
  fill($("seed"), unique(own.filter((v) => v.prompt_id === $("prompt").value).map((v) => v.seed)).sort((a, b) => a - b).map((seed) => [seed, seed]));
  const videos = chosen();
  $("text").textContent = texts.get($("prompt").value) ?? "";
  player.videos = videos.map(card);
  player.frames = Math.max(0, ...videos.map((video) => video.frames ?? 0));
  player.fps = videos[0]?.fps ?? 8;
  $("scrub").max = Math.max(0, player.frames - 1);
  $("videos").replaceChildren(...player.videos.map(({ box }) => box));
  show(0);
  player.since = performance.now();
  player.from = 0;
}

function step(by) {
  play(false);
  show(player.frame + by);
}

if (data.videos.length) {
  fill($("base"), unique(data.videos.map((video) => video.base)).map((base) => [base, base]));
  choose();
  for (const id of ["base", "prompt", "seed"]) $(id).addEventListener("change", choose);
  $("speed").addEventListener("change", () => play(player.playing));
  $("play").addEventListener("click", () => play(!player.playing));
  $("scrub").addEventListener("input", () => step(Number($("scrub").value) - player.frame));
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input[type=search], select, summary");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = $("gallery").getBoundingClientRect();
    if (box.top > innerHeight || box.bottom < 0) return; // keys belong to the gallery while it is in view
    const next = (by) => {
      const select = $("prompt");
      select.selectedIndex = (select.selectedIndex + by + select.options.length) % select.options.length;
      choose();
    };
    const keys = {
      " ": () => play(!player.playing), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
      Home: () => step(-player.frames), End: () => step(player.frames), n: () => next(1), p: () => next(-1),
    };
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || (event.key === " " && event.target.closest?.("button, a, input"))) return;
    event.preventDefault();
    action();
  });
}
