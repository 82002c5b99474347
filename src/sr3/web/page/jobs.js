// The server's jobs: sent, followed while they are worked on, cancelled, forgotten.
import { ask, key, link, Refusal, told } from "./api.js";
import { say, warn } from "./dom.js";
import { Entries, isActive } from "./entries.js";
import { loaded } from "./layer.js";
import { t } from "./strings.js";

/**
 * @typedef {import("./entries.js").Entry} Entry
 * @typedef {import("./api.js").Job} Job
 * @typedef {{task: string, model: string | null, options: Record<string, any>}} Wish
 */

/** Jobs that are followed step by step; a browser opens six connections to a server, for all its tabs together. */
const FOLLOWED = 1;
const PAUSE = 2000;

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
    document.addEventListener("visibilitychange", () => this.follow());
  }

  /** Fetch the list: jobs that are new here are added, those that the server has forgotten go. */
  async refresh() {
    clearTimeout(this.timer);
    const before = this.entries.list.filter((entry) => entry.job);
    try {
      /** @type {{jobs: Job[]}} */
      const { jobs } = await told(`/v1/jobs?limit=${LISTED}`);
      this.merge(jobs, before);
      if (this.away) warn(null);
      this.away = false;
    } catch (error) {
      this.away = true;
      warn(error instanceof Refusal ? error.message : t("away"));
    }
    this.follow();
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
    clearTimeout(this.timer);
    const pause = this.away || active.length > near.length ? PAUSE : active.length ? 5 * PAUSE : 0;
    if (pause) this.timer = window.setTimeout(() => this.refresh(), pause);
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
      this.timer = window.setTimeout(() => this.refresh(), PAUSE);
    });
  }

  /**
   * Send a picture that was brought.
   * @param {Entry} entry
   * @param {Wish} wish
   */
  async send(entry, wish) {
    entry.sending = true;
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
      const job = await this.post(form, key());
      this.take(entry, job);
    } catch (error) {
      entry.fault = error instanceof Refusal ? error.message : t("away");
      say(t("state.failed.said", { name: entry.name, why: entry.fault }));
    }
    entry.sending = false;
    this.entries.tell("entry", entry);
    this.follow();
  }

  /**
   * @param {FormData} form
   * @param {string} name  the same for every try, so that it becomes one job
   * @returns {Promise<Job>}
   */
  async post(form, name) {
    for (;;) {
      try {
        return await (await ask("/v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": name } })).json();
      } catch (error) {
        if (!(error instanceof Refusal) || error.status !== 429) throw error;
        say(error.message);
        await new Promise((done) => setTimeout(done, 1000 * Math.min(error.after ?? 5, 60)));
      }
    }
  }

  /**
   * Cancel a job, or forget one that has ended.
   * @param {Entry} entry
   */
  async drop(entry) {
    if (!entry.job) return this.entries.remove(entry);
    const ended = !isActive(entry.job);
    entry.stopping = !ended;
    this.entries.tell("entry", entry);
    try {
      const reply = await ask(`${entry.job.links.self}${ended ? "" : "?only=active"}`, { method: "DELETE" });
      if (reply.status === 200) this.take(entry, await reply.json());
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 404)) warn(error instanceof Refusal ? error.message : t("away"));
    }
    if (ended) this.entries.remove(entry);
    this.follow();
  }
}
