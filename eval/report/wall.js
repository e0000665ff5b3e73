// --- the wall: one clock moves all videos of a prompt -----------------------------------------------------------------
function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => String(value) === before)) select.value = before;
}

// Videos in step, with a button, a slider and a counter. A video that is shorter stays on its last frame.
class Player {
  constructor(prefix, speed = () => 1) {
    [this.button, this.slider, this.counter] = ["play", "scrub", "frame"].map((part) => $(prefix + part));
    Object.assign(this, { videos: [], frames: 0, fps: 8, playing: false, frame: 0, since: 0, from: 0, speed });
    this.button.addEventListener("click", () => this.play(!this.playing));
    this.slider.addEventListener("input", () => this.step(Number(this.slider.value) - this.frame));
    this.tick = this.tick.bind(this);
  }

  take(shown) {
    this.videos = shown;
    this.frames = Math.max(0, ...shown.map(({ video }) => video.frames ?? 0));
    this.fps = shown[0]?.video.fps ?? 8;
    this.slider.max = Math.max(0, this.frames - 1);
    for (const { element } of shown) element.addEventListener("loadeddata", () => this.place(element));
    this.show(0);
    this.since = performance.now();
    this.from = 0;
  }

  place(element) {
    const end = Number.isFinite(element.duration) ? element.duration - 0.5 / this.fps : 0;
    element.currentTime = Math.max(0, Math.min((this.frame + 0.5) / this.fps, end));
  }

  show(frame) {
    this.frame = Math.max(0, Math.min(frame, this.frames - 1));
    this.slider.value = this.frame;
    this.counter.textContent = `frame ${this.frame + 1} of ${this.frames}`;
    for (const { element } of this.videos) this.place(element);
  }

  play(on) {
    this.playing = on && this.frames > 1;
    this.button.textContent = this.playing ? "Pause" : "Play";
    this.button.setAttribute("aria-pressed", this.playing);
    if (!this.playing) return;
    if (this.frame >= this.frames - 1) this.show(0);
    this.since = performance.now();
    this.from = this.frame;
    requestAnimationFrame(this.tick);
  }

  tick(now) {
    if (!this.playing) return;
    const passed = ((now - this.since) / 1000) * this.fps * this.speed();
    const frame = (this.from + Math.floor(Math.max(0, passed))) % this.frames;
    if (frame !== this.frame) this.show(frame);
    requestAnimationFrame(this.tick);
  }

  step(by) {
    this.play(false);
    this.show(this.frame + by);
  }
}

function screen(video, name) {
  const element = make("video", { src: video.src, muted: true, playsInline: true, preload: "auto" });
  element.setAttribute("aria-label", name);
  element.addEventListener("error", () => {
    element.replaceWith(make("p", { className: "failed", textContent: "This video is missing or cannot be played." }));
  });
  // its pixels are to be seen, not blurred
  element.addEventListener("loadeddata", () => element.classList.toggle("tiny", element.videoWidth < 160));
  return element;
}

function facts(video) {
  const scores = Object.entries(video.scores).map(([protocol, values]) => [protocol, data.metrics
    .filter((metric) => metric.name in values)
    .map((metric) => {
      const value = values[metric.name];
      return `${metric.short} ${value === null ? "–" : fixed(value * metric.scale, metric.digits)}`;
    })]);
  const cost = [`${video.frames} frames`, `${video.fps} fps`];
  if (video.model_calls !== null) cost.push(`${video.model_calls} calls`);
  if (video.wall_seconds !== null) cost.push(`${fixed(video.wall_seconds, 1)} s`);
  if (video.version) cost.push(`version ${video.version}`);
  if (video.frames_sha256) cost.push(`frames ${video.frames_sha256.slice(0, 8)}`);
  const joined = (parts) => parts.map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
  return [scores.map(([protocol, parts]) => [protocol, joined(parts)]), joined(cost)];
}

function card(video) {
  const element = screen(video, `${video.label}: ${video.prompt}`);
  const name = make("h3", { textContent: video.label });
  for (const [is, text] of [[video.control, "control"], [video.port, "our port"]]) {
    if (is) name.append(make("small", { textContent: ` ${text}` }));
  }
  const sidecar = make("a", { href: video.sidecar, textContent: "all facts" });
  sidecar.setAttribute("aria-label", `All facts of this video: ${video.label}`);
  const [scores, cost] = facts(video);
  const lines = scores.map(([protocol, text]) => make("p", {}, make("b", { textContent: protocol }), ` ${text}`));
  const more = make("details", {}, make("summary", { textContent: "scores and cost" }), ...lines, make("p", { textContent: `${cost} · ` }, sidecar));
  return { box: make("article", { className: "video" }, element, name, more), element, video };
}

function chosen() {
  const [base, prompt, seed] = [$("base").value, $("prompt").value, $("seed").value];
  return data.videos.filter((v) => v.base === base && v.prompt_id === prompt && String(v.seed) === seed
    && (!v.control || $("wall-controls").checked));
}

function choose() {
  const own = data.videos.filter((video) => video.base === $("base").value);
  const texts = new Map(own.map((video) => [video.prompt_id, video.prompt]));
  const cut = (text) => (text.length > 90 ? `${text.slice(0, 88)}…` : text);
  fill($("prompt"), [...texts].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([id, text]) => [id, `${id}: ${cut(text)}`]));
  fill($("seed"), unique(own.filter((v) => v.prompt_id === $("prompt").value).map((v) => v.seed)).sort((a, b) => a - b).map((seed) => [seed, seed]));
  $("text").textContent = texts.get($("prompt").value) ?? "";
  const cards = chosen().map(card);
  $("videos").replaceChildren(...cards.map(({ box }) => box));
  player.take(cards);
}

function nextPrompt(by) {
  const select = $("prompt");
  select.selectedIndex = (select.selectedIndex + by + select.options.length) % select.options.length;
  choose();
}

const player = $("gallery") && new Player("", () => Number($("speed").value));
if (player) {
  fill($("base"), unique(data.videos.map((video) => video.base)).map((base) => [base, base]));
  choose();
  for (const id of ["base", "prompt", "seed", "wall-controls"]) $(id).addEventListener("change", choose);
  $("speed").addEventListener("change", () => player.play(player.playing));
  onKeys($("gallery"), {
    " ": () => player.play(!player.playing), ArrowLeft: () => player.step(-1), ArrowRight: () => player.step(1),
    Home: () => player.step(-player.frames), End: () => player.step(player.frames),
    n: () => nextPrompt(1), p: () => nextPrompt(-1),
  });
}
