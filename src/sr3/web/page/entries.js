// What the gallery holds: pictures that were brought and are not sent yet, and the server's jobs.

/**
 * @typedef {import("./api.js").Job} Job
 * @typedef {{id: string, name: string, size: [number, number] | null, file: File | null,
 *   image: ImageBitmap | HTMLImageElement | null, thumb: string | null, job: Job | null, heard: number,
 *   mask: import("./mask.js").Mask | null, preview: import("./layer.js").Drawn | null, answer: string,
 *   differs: boolean, beside: string, looked: boolean, sending: AbortController | null, stopping: boolean,
 *   fault: string | null}} Entry
 *   size: null until it is known; looked: whether the browser has tried to read the file; file: of a picture brought
 *   here; image: it, no larger than the screen needs, while it is looked at; heard: when the last progress came, in
 *   milliseconds; answer: which result is looked at; differs: with the map over it; beside: the key of what it is
 *   compared with; sending: what breaks its sending off; fault: why it could not be sent
 */

/** @typedef {"list" | "entry" | "preview" | "chosen"} What */

export class Entries extends EventTarget {
  /** @type {Entry[]} */
  list = [];
  /** @type {Entry | null} */
  chosen = null;
  /** The name of the task that is chosen. */
  task = "";
  /** Whether it can be done only where a mask is. */
  needsMask = false;

  /**
   * A new entry with what is known of it.
   * @param {Partial<Entry> & {id: string, name: string}} known
   * @returns {Entry}
   */
  static make(known) {
    return {
      size: null,
      file: null,
      image: null,
      thumb: null,
      job: null,
      heard: 0,
      mask: null,
      preview: null,
      answer: "1",
      differs: false,
      beside: "",
      looked: false,
      sending: null,
      stopping: false,
      fault: null,
      ...known,
    };
  }

  /** @param {Entry[]} entries */
  add(entries, last = false) {
    this.list = last ? [...this.list, ...entries] : [...entries, ...this.list];
    this.tell("list");
  }

  /** @param {Entry} entry */
  remove(entry) {
    const index = this.list.indexOf(entry);
    if (index < 0) return;
    this.list.splice(index, 1);
    if (entry.thumb) URL.revokeObjectURL(entry.thumb);
    if (this.chosen === entry) this.choose(this.list[Math.min(index, this.list.length - 1)] ?? null);
    this.tell("list");
  }

  /** @param {Entry | null} entry */
  choose(entry) {
    const before = this.chosen;
    this.chosen = entry;
    this.tell("chosen", entry);
    if (before === null || before === entry) return;
    if (before.image instanceof ImageBitmap) before.image.close();
    before.image = null;
  }

  /**
   * @param {What} what
   * @param {Entry | null} [entry]
   */
  tell(what, entry = null) {
    this.dispatchEvent(new CustomEvent("change", { detail: { what, entry } }));
  }

  /** @param {(what: What, entry: Entry | null) => void} heard */
  listen(heard) {
    this.addEventListener("change", (event) => {
      const { what, entry } = /** @type {CustomEvent} */ (event).detail;
      heard(what, entry);
    });
  }

  /** Pictures that can be sent. */
  get drafts() {
    return this.list.filter((entry) => entry.file && !entry.job && !entry.sending);
  }

  /**
   * What is drawn on a picture for a task; for another, white would mean something else.
   * @param {Entry} entry
   */
  mask(entry, task = this.task) {
    return entry.mask && !entry.mask.empty && entry.mask.task === task ? entry.mask : null;
  }

  /** What is being sent or done. */
  get busy() {
    return this.list.filter(isBusy);
  }

  /** Jobs that are not done. */
  get active() {
    return this.list.filter((entry) => entry.job && isActive(entry.job));
  }

  /** Jobs that have a result. */
  get done() {
    return this.list.filter((entry) => entry.job?.state === "succeeded");
  }
}

/** @param {Job} job */
export const isActive = (job) => job.state === "queued" || job.state === "running";

/** @param {Entry} entry */
export const isBusy = (entry) => entry.sending !== null || (entry.job !== null && isActive(entry.job));

/**
 * Whether the browser has nothing to show of it.
 * @param {Entry} entry
 */
export const unseen = (entry) => entry.looked && entry.size === null;
