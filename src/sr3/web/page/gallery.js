// The gallery: a thumbnail of each picture, and what is becoming of it.
import { link } from "./api.js";
import { at, make } from "./dom.js";
import { isBusy } from "./entries.js";
import { progress } from "./stage.js";
import { t } from "./strings.js";

/** @typedef {import("./entries.js").Entry} Entry */

export class Gallery {
  /**
   * @param {import("./entries.js").Entries} entries
   * @param {import("./jobs.js").Jobs} jobs
   */
  constructor(entries, jobs) {
    this.entries = entries;
    this.jobs = jobs;
    this.box = at("pictures");
    /** @type {Map<Entry, HTMLElement>} */
    this.tiles = new Map();
    this.box.addEventListener("keydown", (event) => this.key(event));
    at("stop-all").addEventListener("click", () => {
      const tile = entries.chosen && this.tiles.get(entries.chosen);
      tile?.focus({ preventScroll: true }); // as the button goes
      jobs.stopAll();
    });
    setInterval(() => entries.active.forEach((entry) => this.update(entry)), 1000);
  }

  /** Lay all tiles out again. */
  show() {
    const { list } = this.entries;
    for (const [entry, tile] of this.tiles) {
      if (!list.includes(entry)) {
        tile.remove();
        this.tiles.delete(entry);
      }
    }
    list.forEach((entry, k) => {
      const tile = this.tiles.get(entry) ?? this.tile(entry);
      if (this.box.children[k] !== tile) this.box.insertBefore(tile, this.box.children[k] ?? null);
    });
    for (const entry of list) this.update(entry);
    this.mark();
  }

  /** @param {Entry} entry */
  tile(entry) {
    const tile = make(
      "div",
      { role: "option", className: "tile", tabIndex: -1, onclick: () => this.pick(entry) },
      make("span", { className: "thumb" }, make("img", { alt: "", decoding: "async", hidden: true })),
      make("span", { className: "name" }, entry.name),
      make("span", { className: "state" }),
    );
    this.tiles.set(entry, tile);
    return tile;
  }

  /** @param {Entry} entry */
  pick(entry) {
    this.entries.choose(entry);
    this.tiles.get(entry)?.focus({ preventScroll: true });
  }

  /** @param {Entry} entry */
  update(entry) {
    const tile = this.tiles.get(entry);
    const image = tile?.querySelector("img");
    const state = tile?.querySelector(".state");
    if (!tile || !image || !state) return;
    const links = entry.job?.links;
    const server = links?.result_thumbnail ?? (entry.thumb ? null : links?.thumbnail);
    const source = server ? link(server) : entry.thumb;
    if (source && image.getAttribute("src") !== source) image.src = source;
    image.hidden = !source;
    tile.dataset.state = entry.fault ? "failed" : (entry.job?.state ?? "draft");
    state.textContent = said(entry, this.entries.mask(entry) !== null);
    tile.dataset.looked = String(entry.looked);
    tile.title = entry.name;
    this.counts();
  }

  mark() {
    const { chosen, list } = this.entries;
    for (const [entry, tile] of this.tiles) {
      tile.setAttribute("aria-selected", String(entry === chosen));
      tile.tabIndex = entry === (chosen ?? list[0]) ? 0 : -1;
    }
    const tile = chosen && this.tiles.get(chosen);
    if (!tile) return;
    // sideways only: the page stays where it is
    const [start, end] = [tile.offsetLeft - this.box.offsetLeft, tile.offsetLeft - this.box.offsetLeft + tile.offsetWidth];
    if (start < this.box.scrollLeft) this.box.scrollLeft = start;
    else if (end > this.box.scrollLeft + this.box.clientWidth) this.box.scrollLeft = end - this.box.clientWidth;
  }

  /** What concerns them all: the zip of the results, and a button that cancels. */
  counts() {
    const { done, list } = this.entries;
    const active = list.filter((entry) => isBusy(entry) || this.jobs.due.has(entry));
    const zip = /** @type {HTMLAnchorElement} */ (at("zip"));
    zip.hidden = done.length < 2;
    const ids = done.map((entry) => `id=${entry.job?.id}`).join("&");
    const address = link("/v1/jobs.zip");
    zip.href = `${address}${address.includes("?") ? "&" : "?"}${ids}`;
    zip.download = "sr3.zip";
    at("stop-all").hidden = active.length < 2;
    document.title = active.length ? `(${active.length}) sr3` : "sr3";
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { list, chosen } = this.entries;
    const at = chosen ? list.indexOf(chosen) : -1;
    /** @type {Record<string, number>} */
    const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: list.length - 1 };
    const index = to[event.key];
    const entry = index === undefined ? null : list[Math.min(list.length - 1, Math.max(0, index))];
    if (entry) this.pick(entry);
    else if (event.key === "Delete" && chosen && !isBusy(chosen)) {
      this.jobs.drop(chosen).then(() => this.tiles.get(/** @type {Entry} */ (this.entries.chosen))?.focus());
    } else return;
    event.preventDefault();
  }
}

/**
 * @param {Entry} entry
 * @param {boolean} masked
 */
function said(entry, masked) {
  if (entry.fault || entry.job?.state === "failed") return t("state.failed");
  if (isBusy(entry)) return progress(entry);
  if (!entry.job) return masked ? t("masked") : t("state.draft");
  return entry.job.state === "succeeded" ? (entry.job.result_size ?? entry.job.size).join(" × ") : t(`state.${entry.job.state}`);
}
