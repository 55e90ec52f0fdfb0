"use strict";
// Draws the timelines of a page: annotated and predicted moments, saliency, spectrogram and a player.
const Timelines = (() => {
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const HERTZ = [500, 1000, 2000, 4000, 8000, 16000];
  const LEAST_GAP = 64; // Pixels between two labels of the time axis.
  const MOST_ZOOM = 32;
  const player = new Audio();
  let content = { media: [], timelines: [] };
  let urls = [];
  let current = null; // The timeline that plays or played last.
  let stop = null; // Seconds at which the moment that plays ends.

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  };

  // Seconds as m:ss or h:mm:ss, with as many decimals as asked for; 59.96 with one decimal is 1:00.0.
  const clock = (seconds, decimals = 0) => {
    const unit = 10 ** decimals;
    const ticks = Math.round(Math.max(0, seconds) * unit);
    const whole = Math.floor(ticks / unit);
    const pad = (value) => String(value).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    const rest = decimals ? `.${String(ticks % unit).padStart(decimals, "0")}` : "";
    return `${hours ? `${hours}:${pad(minutes)}` : minutes}:${pad(whole % 60)}${rest}`;
  };

  const mel = (hertz) => Math.log10(1 + hertz / 700);

  // Browsers find any position of a Blob, but not of every data: URL.
  const urlOf = (index) => {
    if (!urls[index]) {
      const [head, base64] = content.media[index].split(",");
      const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
      urls[index] = URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
    }
    return urls[index];
  };

  class View {
    constructor(root, timeline) {
      this.root = root;
      this.timeline = timeline;
      this.zoom = 1;
      this.position = 0;
      this.draw();
      new ResizeObserver(() => this.drawAxis()).observe(this.scroller);
    }

    percent(seconds) {
      return `${(100 * Math.min(seconds, this.timeline.seconds)) / this.timeline.seconds}%`;
    }

    draw() {
      const { query, vid, seconds } = this.timeline;
      this.ticks = make("div", { class: "tl-ticks" });
      this.cursor = make("div", { class: "tl-cursor" });
      const graph = make("div", { class: "tl-graph", "aria-hidden": "true" }, this.ticks);
      graph.append(...this.lanes(), this.cursor);
      graph.addEventListener("click", (event) => {
        if (event.target.closest(".tl-bar")) return;
        const box = graph.getBoundingClientRect();
        this.seek(((event.clientX - box.left) / box.width) * seconds);
      });
      this.graph = graph;
      this.scroller = make("div", {
        ...{ class: "tl-scroll", role: "group", tabindex: 0, "aria-label": `Timeline: ${query}` },
      }, graph);
      const title = make("h3", {}, query);
      const about = make("p", { class: "tl-about" }, `${vid}, ${clock(seconds)}`);
      this.root.replaceChildren(title, about, this.controls(), this.scroller, this.lists());
      this.root.classList.add("tl-drawn");
      this.drawAxis();
      this.show(0);
    }

    controls() {
      const { audio, seconds, query } = this.timeline;
      const step = Math.min(0.1, seconds / 100);
      this.button = make("button", { type: "button", class: "tl-play", onclick: () => this.toggle() }, "Play");
      this.time = make("output", { class: "tl-time" });
      this.range = make("input", {
        ...{ type: "range", min: 0, max: seconds, step, value: 0, class: "tl-range" },
        ...{ "aria-label": `Position in the recording: ${query}`, oninput: () => this.seek(+this.range.value) },
      });
      const zoom = (factor, sign, name) =>
        make("button", { type: "button", "aria-label": name, onclick: () => this.setZoom(factor) }, sign);
      this.out = zoom(0.5, "−", "Show more of the recording");
      this.into = zoom(2, "+", "Show less of the recording, larger");
      this.out.disabled = true;
      const parts = [audio === null ? null : this.button, this.time, this.range, this.out, this.into];
      return make("div", { class: "tl-controls" }, ...parts);
    }

    *lanes() {
      const { truth, systems, spectrogram, hertz } = this.timeline;
      if (spectrogram !== null) yield this.spectrogram(spectrogram, hertz);
      this.bars = new Map();
      if (truth !== null) {
        const bars = truth.map(([start, end]) => this.bar("truth", start, end, 0, "tl-truth"));
        yield make("div", { class: "tl-lane" }, make("span", { class: "tl-name" }, "annotated"),
          make("div", { class: "tl-rows", style: "--rows: 1" }, ...bars));
      }
      for (const [number, system] of systems.entries()) {
        const bars = system.moments.map(([start, end], rank) =>
          this.bar(`${number}-${rank}`, start, end, rank, ""));
        const rows = make("div", { class: "tl-rows", style: `--rows: ${Math.max(1, bars.length)}` }, ...bars);
        const lane = make("div", { class: "tl-lane", style: `--own: var(--series-${(number % 6) + 1})` });
        lane.append(make("span", { class: "tl-name" }, system.name));
        if (system.saliency?.length) lane.append(this.saliency(system));
        lane.append(rows);
        yield lane;
      }
    }

    bar(key, start, end, rank, kind) {
      const bar = make("div", { class: `tl-bar ${kind}`, onclick: () => this.play(start, end) });
      bar.title = `${clock(start, 1)} to ${clock(end, 1)}`;
      bar.style.left = this.percent(start);
      bar.style.width = this.percent(Math.max(0, Math.min(end, this.timeline.seconds) - start));
      bar.style.setProperty("--rank", rank);
      this.bars.set(`${key} ${start} ${end}`, bar);
      return bar;
    }

    spectrogram(index, hertz) {
      const lane = make("div", { class: "tl-spectrogram" }, make("img", { src: content.media[index], alt: "" }));
      for (const value of HERTZ.filter((each) => each < 0.9 * hertz)) {
        const label = value < 1000 ? `${value} Hz` : `${value / 1000} kHz`;
        const tick = make("span", { class: "tl-hertz" }, label);
        tick.style.bottom = `${(100 * mel(value)) / mel(hertz)}%`;
        lane.append(tick);
      }
      return lane;
    }

    // A byte for each row, 0 to 255 on the scale of the system.
    saliency({ saliency, hop }) {
      const height = (sign) => (1 - sign.charCodeAt(0) / 255).toFixed(4);
      const rows = [...atob(saliency)];
      const path = rows.map((sign, row) => `${row ? "V" : "M0 "}${height(sign)}H${(row + 1) * hop}`);
      const namespace = "http://www.w3.org/2000/svg";
      const svg = document.createElementNS(namespace, "svg");
      svg.setAttribute("viewBox", `0 -0.05 ${this.timeline.seconds} 1.1`);
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("class", "tl-saliency");
      const line = document.createElementNS(namespace, "path");
      line.setAttribute("d", path.join(""));
      line.setAttribute("vector-effect", "non-scaling-stroke");
      svg.append(line);
      return svg;
    }

    lists() {
      const { truth, systems } = this.timeline;
      const lists = make("div", { class: "tl-lists" });
      if (truth !== null) {
        const moments = truth.map(([start, end]) => [start, end, null]);
        lists.append(this.list("annotated", "truth", moments, truth.length ? "" : "Nothing is annotated."));
      }
      for (const [number, { name, moments, remark }] of systems.entries()) {
        const text = remark || (moments.length ? "" : "No moment is predicted.");
        lists.append(this.list(name, number, moments, text));
      }
      return lists;
    }

    list(name, key, moments, remark) {
      const items = moments.map(([start, end, score], rank) => {
        const text = `${clock(start, 1)} – ${clock(end, 1)} `;
        const bar = this.bars.get(`${key === "truth" ? key : `${key}-${rank}`} ${start} ${end}`);
        const mark = (on) => () => bar.classList.toggle("tl-marked", on);
        const button = make("button", {
          ...{ type: "button", class: "tl-moment", onclick: () => this.play(start, end) },
          ...{ onmouseenter: mark(true), onmouseleave: mark(false), onfocus: mark(true), onblur: mark(false) },
        }, text, score === null ? null : make("span", { class: "tl-score" }, score.toFixed(3)));
        return make("li", {}, button);
      });
      const colour = key === "truth" ? "var(--ink)" : `var(--series-${(key % 6) + 1})`;
      return make("div", { class: "tl-list", style: `--own: ${colour}` },
        make("h4", {}, name),
        remark ? make("p", { class: "tl-remark" }, remark) : null,
        items.length ? make("ol", {}, ...items) : null);
    }

    drawAxis() {
      const { seconds } = this.timeline;
      const width = this.graph.clientWidth || 800;
      const step = STEPS.find((each) => (each / seconds) * width >= LEAST_GAP) || STEPS.at(-1);
      const count = Math.floor(seconds / step + 1e-9) + 1;
      this.ticks.replaceChildren(...Array.from({ length: count }, (_, index) => {
        const tick = make("span", {}, clock(index * step, step < 1 ? 1 : 0));
        tick.style.left = this.percent(index * step);
        if ((index * step) / seconds > 1 - 48 / width) tick.classList.add("tl-last");
        return tick;
      }));
    }

    setZoom(factor) {
      this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
      this.graph.style.width = `${100 * this.zoom}%`;
      this.out.disabled = this.zoom <= 1;
      this.into.disabled = this.zoom >= MOST_ZOOM;
      this.drawAxis();
      this.reveal(true);
    }

    // Scrolls sideways so that the position is seen.
    reveal(centre = false) {
      const x = (this.position / this.timeline.seconds) * this.graph.clientWidth;
      const { scrollLeft, clientWidth } = this.scroller;
      if (centre || x < scrollLeft || x > scrollLeft + clientWidth) this.scroller.scrollLeft = x - clientWidth / 4;
    }

    show(position) {
      const { seconds } = this.timeline;
      this.position = position;
      this.cursor.style.left = this.percent(position);
      this.range.value = position;
      this.range.setAttribute("aria-valuetext", clock(position, 1));
      this.time.textContent = `${clock(position, 1)} / ${clock(seconds)}`;
    }

    showState() {
      const playing = current === this && !player.paused;
      this.button.textContent = playing ? "Pause" : "Play";
      this.root.classList.toggle("tl-playing", playing);
    }

    // Makes the sound of this timeline that of the player.
    take() {
      if (current === this) return;
      const before = current;
      player.pause();
      current = this;
      before?.showState();
      player.src = urlOf(this.timeline.audio);
    }

    seek(seconds) {
      stop = null;
      this.show(seconds);
      this.reveal();
      if (this.timeline.audio !== null) {
        this.take();
        player.currentTime = seconds;
      }
    }

    play(start, end) {
      this.seek(start);
      if (this.timeline.audio === null) return;
      stop = end;
      this.start();
    }

    toggle() {
      this.take();
      if (!player.paused) return player.pause();
      if (this.position >= this.timeline.seconds - 0.05) this.show(0);
      player.currentTime = this.position;
      stop = null;
      this.start();
    }

    start() {
      // Another click may come before the sound is there, which is no fault.
      player.play().catch(() => this.showState());
    }
  }

  const follow = () => {
    if (!current || player.seeking) return;
    if (stop !== null && player.currentTime >= stop) {
      player.pause();
      player.currentTime = stop;
      stop = null;
    }
    current.show(player.currentTime);
    current.reveal();
  };
  const animate = () => {
    follow();
    if (!player.paused) requestAnimationFrame(animate);
  };
  player.addEventListener("timeupdate", follow);
  player.addEventListener("play", animate);
  for (const name of ["play", "pause", "ended"]) player.addEventListener(name, () => current?.showState());

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      new View(target, content.timelines[+target.dataset.timeline]);
    }
  }, { rootMargin: "800px" });

  return {
    clock,
    player,
    // Draws the elements of class "timeline" below `root` once they are scrolled to.
    watch(root = document) {
      for (const element of root.querySelectorAll(".timeline:not(.tl-drawn)")) seen.observe(element);
    },
    // Replaces all that is drawn from; see timelines_as_json for its shape.
    load(values) {
      player.pause();
      player.removeAttribute("src");
      urls.forEach((url) => URL.revokeObjectURL(url));
      [content, urls, current, stop] = [values, [], null, null];
    },
  };
})();
if (document.getElementById("timelines")) {
  Timelines.load(JSON.parse(document.getElementById("timelines").textContent));
  Timelines.watch();
}
