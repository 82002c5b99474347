// The server's jobs: sent, followed while they are worked on, cancelled, forgotten.
import { ask, link, Refusal, told } from "./api.js";
import { at, say, warn } from "./dom.js";
import { Entries, isActive } from "./entries.js";
import { loaded } from "./layer.js";
import { post, readable } from "./post.js";
import { duration, t } from "./strings.js";

/**
 * @typedef {import("./entries.js").Entry} Entry
 * @typedef {import("./api.js").Job} Job
 * @typedef {{task: string, model: string | null, options: Record<string, any>}} Wish
 */

/** Jobs that are followed step by step; a browser opens six connections to a server, for all its tabs together. */
const FOLLOWED = 1;
const PAUSE = 2000;

/** Between two looks at the list while nothing is being done: another tab may do something, and old jobs go. */
const IDLE = 60_000;

/** The milliseconds that the reply to a picture that is sent is waited for when it is cancelled: its job can be, too. */
const GRACE = 1000;

/** Jobs that the server lists at once. */
const LISTED = 1000;

export class Jobs {
  /** @param {Entries} entries */
  constructor(entries) {
    this.entries = entries;
    /** @type {Map<string, EventSource>} */
    this.ears = new Map();
    this.timer = 0;
    this.away = false;
    /** @type {Set<Entry>} What is to be sent yet; a new set once all is cancelled. */
    this.due = new Set();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.follow() : this.refresh()));
  }

  /** Fetch the list: jobs that are new here are added, those that the server has forgotten go. Whether it came. */
  async refresh() {
    clearTimeout(this.timer);
    const before = this.entries.list.filter((entry) => entry.job);
    try {
      /** @type {{jobs: Job[], hours?: number}} */
      const { jobs, hours } = await told(`/v1/jobs?limit=${LISTED}`);
      if (hours) at("kept").textContent = t("kept", { time: duration(3600 * hours) });
      at("kept").hidden = !hours;
      if (this.away) {
        warn(null);
        // it may have begun anew, and know of no wish to stop
        for (const entry of before) entry.stopping = false;
      }
      this.away = false;
      this.merge(jobs, before);
    } catch (error) {
      this.away = true;
      warn(error instanceof Refusal ? error.message : t("away"));
    }
    this.follow();
    return !this.away;
  }

  /**
   * @param {Job[]} jobs  newest first
   * @param {Entry[]} before  those that had a job when the list was asked for: others cannot be missing from it
   */
  merge(jobs, before) {
    const known = new Map(this.entries.list.flatMap((entry) => (entry.job ? [[entry.job.id, entry]] : [])));
    const news = [];
    // what is being sent may be in the list before its own answer has come
    const sending = this.entries.list.some((entry) => entry.sending);
    for (const job of jobs) {
      const entry = known.get(job.id);
      if (!entry) sending || news.push(Entries.make({ id: job.id, name: job.name, size: job.size, job }));
      else if (JSON.stringify(entry.job) !== JSON.stringify(job)) this.take(entry, job);
    }
    const there = new Set(jobs.map((job) => job.id));
    const gone = jobs.length < LISTED ? before.filter((entry) => entry.job && !there.has(entry.job.id)) : [];
    for (const entry of gone) this.entries.remove(entry);
    if (news.length) this.entries.add(news, true);
    if (!this.entries.chosen && this.entries.list[0]) this.entries.choose(this.entries.list[0]);
  }

  /**
   * @param {Entry} entry
   * @param {Job} job
   */
  take(entry, job) {
    const before = entry.job?.state;
    entry.job = job;
    if (!isActive(job)) entry.stopping = false;
    entry.size = job.size;
    entry.heard = performance.now();
    if (job.state !== before && !isActive(job)) {
      if (entry.preview && job.state !== "succeeded") entry.preview = null;
      say(t(`state.${job.state}.said`, { name: job.name, why: job.error?.detail ?? "" }));
    }
    this.entries.tell("entry", entry);
  }

  /** Listen to the jobs that come next; ask for the list now and then while there are more. */
  follow() {
    const active = this.entries.active;
    const rank = (/** @type {Entry} */ entry) => (entry.job?.state === "running" ? -1 : (entry.job?.position ?? 1e9));
    const near = [...active].sort((a, b) => rank(a) - rank(b)).slice(0, document.hidden ? 0 : FOLLOWED);
    const ids = new Set(near.map((entry) => entry.job?.id));
    for (const [id, ear] of this.ears) if (!ids.has(id)) this.deafen(id, ear);
    for (const entry of near) if (entry.job && !this.ears.has(entry.job.id)) this.hear(entry, entry.job);
    const often = this.away || active.length > near.length;
    this.later(often ? PAUSE : active.length ? 5 * PAUSE : IDLE);
  }

  /** @param {number} pause  milliseconds until the list is asked for */
  later(pause) {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.refresh(), pause);
  }

  /**
   * @param {string} id
   * @param {EventSource} ear
   */
  deafen(id, ear) {
    ear.close();
    this.ears.delete(id);
  }

  /**
   * @param {Entry} entry
   * @param {Job} job
   */
  hear(entry, job) {
    const ear = new EventSource(link(job.links.events));
    this.ears.set(job.id, ear);
    let busy = false;
    /** @type {string | null} */
    let next = null;
    const show = async () => {
      busy = true;
      while (next !== null) {
        const url = next;
        next = null;
        const image = await loaded(link(url));
        if (image && entry.job && isActive(entry.job)) {
          entry.preview = image;
          this.entries.tell("preview", entry);
        }
      }
      busy = false;
    };
    const on = (/** @type {string} */ kind, /** @type {(data: any) => void} */ does) =>
      ear.addEventListener(kind, (event) => does(JSON.parse(/** @type {MessageEvent} */ (event).data)));
    on("state", (state) => this.take(entry, state));
    on("progress", (progress) => {
      if (!entry.job || !isActive(entry.job)) return;
      this.take(entry, { ...entry.job, state: "running", position: null, progress });
    });
    on("preview", ({ url }) => {
      next = url;
      if (!busy) show();
    });
    on("end", () => {
      this.deafen(job.id, ear);
      this.refresh();
    });
    // the browser tries again by itself; where it has given up, the list says what became of the job
    ear.addEventListener("error", () => {
      if (ear.readyState !== EventSource.CLOSED) return;
      this.deafen(job.id, ear);
      this.later(PAUSE);
    });
  }

  /**
   * Send pictures one after the other, until all is cancelled.
   * @param {Entry[]} list
   * @param {Wish} wish
   */
  async sendAll(list, wish) {
    const { due } = this;
    for (const entry of list) due.add(entry);
    for (const entry of list) {
      due.delete(entry);
      // it may have been removed meanwhile, or sent by another press
      const wanted = due === this.due && this.entries.list.includes(entry) && !entry.sending && !entry.job;
      if (wanted) await this.send(entry, wish);
    }
  }

  /** Send no more, and cancel what is being sent or done. */
  async stopAll() {
    this.due = new Set();
    await Promise.all(this.entries.busy.map((entry) => this.drop(entry)));
  }

  /**
   * Send a picture that was brought.
   * @param {Entry} entry
   * @param {Wish} wish
   */
  async send(entry, wish) {
    const sending = (entry.sending = new AbortController());
    entry.fault = null;
    this.entries.tell("entry", entry);
    try {
      const form = new FormData();
      if (entry.file) form.set("picture", entry.file, entry.name);
      const mask = this.entries.mask(entry, wish.task);
      if (mask) form.set("mask", await mask.file(), "mask.png");
      form.set("task", wish.task);
      if (wish.model) form.set("model", wish.model);
      form.set("options", JSON.stringify(wish.options));
      this.take(entry, await post(form, sending.signal, () => this.refresh()));
    } catch (error) {
      if (sending.signal.aborted) {
        say(t("state.canceled.said", { name: entry.name }));
      } else {
        const { name } = entry;
        const why = (await readable(entry.file)) ? t("unsent", { name }) : t("unread", { name });
        entry.fault = error instanceof Refusal ? error.message : why;
        say(t("state.failed.said", { name, why: entry.fault }));
      }
    }
    const { stopping } = entry;
    entry.sending = null;
    entry.stopping = false;
    this.entries.tell("entry", entry);
    if (stopping && entry.job) return this.drop(entry);
    this.follow();
    if (stopping) this.later(PAUSE); // the server may have taken it all the same
  }

  /**
   * Cancel a job or the sending of a picture, or forget what is not worked on.
   * @param {Entry} entry
   */
  async drop(entry) {
    const { job, sending } = entry;
    if (sending) {
      entry.stopping = true;
      this.entries.tell("entry", entry);
      setTimeout(() => sending.abort(), GRACE);
      return;
    }
    if (!job) return this.entries.remove(entry);
    let gone = !isActive(job);
    entry.stopping = !gone;
    this.entries.tell("entry", entry);
    try {
      const reply = await ask(`${job.links.self}${gone ? "" : "?only=active"}`, { method: "DELETE" });
      if (reply.status === 200) this.take(entry, await reply.json());
    } catch (error) {
      entry.stopping = false; // it can be tried once more
      gone = error instanceof Refusal && error.status === 404;
      if (!gone) warn(error instanceof Refusal ? error.message : t("unanswered"));
    }
    if (gone) this.entries.remove(entry);
    else this.entries.tell("entry", entry);
    this.follow();
  }
}
