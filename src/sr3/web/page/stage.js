// What stands around the picture that is looked at: its name, what is done to it, and what can be done with it.
import { link } from "./api.js";
import { at, make, press } from "./dom.js";
import { isBusy } from "./entries.js";
import { address, answers, frameOf, named, original, others, scene, summary } from "./sources.js";
import { duration, t } from "./strings.js";

/**
 * @typedef {import("./entries.js").Entry} Entry
 * @typedef {{viewer: import("./viewer.js").Viewer, masking: import("./masking.js").Masking,
 *   entries: import("./entries.js").Entries, jobs: import("./jobs.js").Jobs}} Parts
 */

export class Stage {
  /** @param {Parts} parts */
  constructor(parts) {
    this.parts = parts;
    const { viewer } = parts;
    this.beside = make("select", { id: "beside" });
    this.beside.addEventListener("change", () => this.change({ beside: this.beside.value }));
    this.lens = button("lens", t("lens"), () => viewer.toggleLens());
    this.first = button("first", t("original"), () => viewer.showOriginal(!viewer.original));
    this.percent = make("output", { id: "percent", "aria-label": t("zoom") });
    this.download = make("a", { id: "download", className: "button main" }, t("download"));
    this.label = make("label", { className: "beside" }, make("span", {}, t("beside")), this.beside);
    this.build();
    parts.viewer.moved = () => this.measure();
    setInterval(() => this.walk(), 1000);
  }

  build() {
    const { viewer, entries, jobs } = this.parts;
    at("tools").append(
      make(
        "div",
        { className: "group", role: "group", "aria-label": t("zoom") },
        button("out", "−", () => viewer.zoom(0.8), t("zoom.out")),
        this.percent,
        button("in", "+", () => viewer.zoom(1.25), t("zoom.in")),
        button("fit", t("zoom.fit"), () => viewer.fit()),
        button("actual", "1:1", () => viewer.actual(), t("zoom.actual")),
      ),
      make("div", { className: "group" }, this.lens, this.first),
      this.label,
      make("span", { className: "space" }),
      this.download,
    );
    at("remove").addEventListener("click", () => this.remove());
    at("cancel").addEventListener("click", () => {
      at("title").focus({ preventScroll: true }); // the button goes, and whoever uses the keyboard stands where it was
      if (entries.chosen) jobs.drop(entries.chosen);
    });
  }

  /** Take the entry away; whoever used the keyboard stands at its neighbour then. */
  async remove() {
    const { entries, jobs } = this.parts;
    if (!entries.chosen) return;
    await jobs.drop(entries.chosen);
    (/** @type {HTMLElement | null} */ (document.querySelector("#pictures [tabindex='0']")) ?? at("main")).focus();
  }

  /** @param {Partial<Entry>} what */
  change(what) {
    const entry = this.parts.entries.chosen;
    if (!entry) return;
    Object.assign(entry, what);
    this.show();
  }

  /** Show the chosen entry as it is now. */
  show() {
    const { entries, viewer, masking } = this.parts;
    const entry = entries.chosen;
    if (!entry) return viewer.blank();
    const what = scene(entry, entries.list, masking.mask !== null);
    at("title").textContent = entry.name;
    at("facts").textContent = facts(entry);
    this.speak(entry, what !== null);
    viewer.mask = masking.mask ?? (entry.job ? null : entries.mask(entry));
    if (what) {
      viewer.show(what);
    } else {
      viewer.blank();
    }
    at("view").dataset.state = entry.job?.state ?? "draft";
    this.choose(entry);
    this.answer(entry);
    this.walk();
  }

  /**
   * What is said over the picture: why there is none, or what went wrong.
   * @param {Entry} entry
   * @param {boolean} seen
   */
  speak(entry, seen) {
    const why = entry.fault ?? entry.job?.error?.detail ?? (entry.job?.state === "canceled" ? t("state.canceled") : "");
    const { name, looked } = entry;
    const unseen = this.parts.entries.needsMask ? t("mask.unseen", { name }) : t("unseen", { name });
    at("said").textContent = why || (seen ? "" : looked ? unseen : t("looking"));
    at("said").hidden = !why && seen;
    at("said").classList.toggle("fault", Boolean(entry.fault ?? entry.job?.error));
  }

  /** @param {Entry} entry */
  choose(entry) {
    const done = entry.job?.state === "succeeded";
    const list = done ? others(entry, this.parts.entries.list) : [];
    this.label.hidden = list.length < 2;
    const keys = list.map((source) => source.key).join();
    if (this.beside.dataset.keys !== keys) {
      this.beside.dataset.keys = keys;
      this.beside.replaceChildren(...list.map((source) => make("option", { value: source.key }, source.label)));
    }
    this.beside.value = list.some((source) => source.key === entry.beside) ? entry.beside : (list[0]?.key ?? "");
    this.first.disabled = this.parts.viewer.left === null;
    const file = done ? address(entry, entry.answer) : null;
    this.download.hidden = file === null;
    if (file) {
      this.download.href = link(file);
      this.download.download = "";
    }
    at("remove").hidden = isBusy(entry);
  }

  /**
   * Of several answers: which one is looked at and downloaded, and the map of where they differ.
   * @param {Entry} entry
   */
  answer(entry) {
    const box = at("answers");
    const list = answers(entry);
    box.hidden = list.length < 2;
    const key = `${entry.job?.id} ${list.length}`;
    if (box.dataset.key === key) {
      this.mark(entry);
      return;
    }
    box.dataset.key = key;
    if (box.hidden) return box.replaceChildren();
    const choices = list.map((answer) => {
      const input = make("input", { type: "radio", name: "answer", value: answer, className: "unseen" });
      input.addEventListener("change", () => this.change({ answer }));
      const view = link(address(entry, answer) ?? "", { view: 320 });
      return make("label", {}, input, make("img", { src: view, alt: "", loading: "lazy" }), make("span", {}, named(answer)));
    });
    const differs = make("input", { type: "checkbox", id: "differs" });
    differs.addEventListener("change", () => this.change({ differs: differs.checked }));
    box.replaceChildren(
      make("fieldset", {}, make("legend", {}, t("answers")), ...choices),
      make("label", { className: "check" }, differs, t("spread")),
    );
    this.mark(entry);
  }

  /** @param {Entry} entry */
  mark(entry) {
    for (const input of at("answers").querySelectorAll("input")) {
      input.checked = input.type === "radio" ? input.value === entry.answer : entry.differs;
    }
  }

  /** How far the chosen job is, and how long it will take yet. */
  walk() {
    const entry = this.parts.entries.chosen;
    const job = entry?.job;
    const shown = entry && isBusy(entry);
    at("walk").hidden = !shown;
    if (!shown) return;
    const bar = /** @type {HTMLProgressElement} */ (at("steps"));
    /** @type {HTMLButtonElement} */ (at("cancel")).disabled = entry.stopping;
    at("left").textContent = progress(entry);
    if (job?.progress.total) {
      bar.max = job.progress.total;
      bar.value = job.progress.done;
    } else bar.removeAttribute("value");
  }

  /** What the buttons say of the viewer. */
  measure() {
    const { viewer } = this.parts;
    this.percent.textContent = `${Math.round(viewer.camera.zoom * devicePixelRatio * 100)} %`;
    press(this.lens, viewer.lens);
    press(this.first, viewer.original);
  }

  /** Open the mask of the chosen entry. */
  draw() {
    const { entries, masking } = this.parts;
    const entry = entries.chosen;
    const given = entry && original(entry);
    if (!entry || !given) return;
    entry.mask = masking.open(entry.mask, given.size, entries.task);
    this.show();
    masking.show(); // the brush, in what is shown now
  }
}

/** @type {(id: string, words: string, does: () => void, label?: string) => HTMLButtonElement} */
const button = (id, words, does, label) =>
  make("button", { type: "button", id, onclick: does, ...(label ? { "aria-label": label } : {}) }, words);

/** @param {Entry} entry */
function facts(entry) {
  const to = frameOf(entry);
  if (!entry.size || !to) return "";
  const from = `${entry.size[0]} × ${entry.size[1]}`;
  if (!entry.job) return from;
  const { started, finished, state } = entry.job;
  const took = state === "succeeded" && started && finished ? [duration(finished - started)] : [];
  return [`${from} → ${to.width} × ${to.height}`, summary(entry), ...took].join(" · ");
}

/**
 * In words: the steps, and the seconds that they will take, counted down from when they were last told.
 * @param {Entry} entry
 */
export function progress(entry) {
  const job = entry.job;
  if (entry.sending || !job) return t("sending");
  if (entry.stopping) return t("stopping");
  if (job.state === "queued") {
    return job.position ? t("before", { count: job.position }) : t("state.queued");
  }
  const { done, total, seconds_left: left } = job.progress;
  if (!total) return t("state.running");
  const steps = t("step", { done, total });
  if (left === null) return steps;
  const rest = left - (performance.now() - entry.heard) / 1000;
  return `${steps} · ${rest > 0 ? t("rest", { time: duration(rest) }) : t("rest.soon")}`;
}
