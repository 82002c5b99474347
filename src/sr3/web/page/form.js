// What is to be done: the form, made of the tasks and models that the server has.
import { told } from "./api.js";
import { at, make } from "./dom.js";
import { unseen } from "./entries.js";
import { field } from "./fields.js";
import { keep, kept } from "./kept.js";
import { pictures, t } from "./strings.js";

/**
 * @typedef {import("./api.js").Task} Task
 * @typedef {import("./api.js").Model} Model
 * @typedef {import("./entries.js").Entry} Entry
 */

/** Options that most people never need. */
const RARE = new Set(["format", "fidelity", "noise", "free", "steps", "sampler", "output_quality", "metadata"]);
const KEPT = "sr3.wish";

export class Form {
  /**
   * @param {import("./entries.js").Entries} entries
   * @param {{start: () => void, draw: () => void, unmask: () => void, turn: () => void}} does
   */
  constructor(entries, does) {
    this.entries = entries;
    this.does = does;
    /** @type {Task[]} */ this.tasks = [];
    /** @type {Model[]} */ this.models = [];
    /** @type {{task: string, model: string, values: Record<string, any>}} */
    this.wish = wished();
    this.rare = false;
    at("panel").addEventListener("submit", (event) => {
      event.preventDefault();
      const panel = /** @type {HTMLFormElement} */ (event.target);
      const more = panel.querySelector("details");
      if (more?.querySelector(":invalid")) more.open = true; // what is wrong is seen
      if (panel.reportValidity()) does.start();
    });
  }

  async load() {
    const [{ tasks }, { models }] = await Promise.all([told("/v1/tasks"), told("/v1/models")]);
    this.tasks = tasks;
    this.models = models;
    this.show();
  }

  /** The task that is chosen, or the first that can be done. */
  get task() {
    const can = this.tasks.filter((task) => task.models.length);
    return can.find((task) => task.name === this.wish.task) ?? can[0] ?? this.tasks[0];
  }

  /** Models that may do it: the one chosen, or all. */
  get may() {
    const names = this.task?.models ?? [];
    const chosen = names.includes(this.wish.model) ? [this.wish.model] : names;
    return this.models.filter((model) => chosen.includes(model.name)).sort((a, b) => Number(b.default) - Number(a.default));
  }

  /** Those of the model chosen, or of the usual one, which takes the work where only a quality is asked for. */
  get qualities() {
    const { may } = this;
    return new Set(may.filter((model) => may.length === 1 || model.default).flatMap((model) => model.qualities));
  }

  /**
   * What is asked for, as the server takes it.
   * @returns {import("./jobs.js").Wish}
   */
  get asked() {
    const { task, may, qualities } = this;
    /** @type {Record<string, any>} */
    const options = {};
    for (const { name, default: usual } of task?.options ?? []) {
      const value = this.wish.values[name];
      if (value !== undefined && value !== usual) options[name] = value;
    }
    if (options.size) delete options.scale;
    if (!may.some((model) => model.varies)) delete options.samples;
    if (!qualities.has(options.quality)) delete options.quality;
    const model = task?.models.includes(this.wish.model) ? this.wish.model : null;
    return { task: task?.name ?? "", model, options };
  }

  keep() {
    keep("localStorage", KEPT, JSON.stringify(this.wish));
  }

  /** Lay the form out for the task and the model that are chosen. */
  show() {
    const { task, may, qualities } = this;
    const panel = at("panel");
    if (!task) return;
    this.entries.task = task.name;
    this.entries.needsMask = task.needs.includes("mask");
    /** @type {import("./fields.js").Context} */
    const context = {
      values: this.wish.values,
      factor: may.find((model) => model.factor !== null)?.factor ?? null,
      qualities,
      varies: may.some((model) => model.varies),
      changed: () => this.keep(),
    };
    const options = task.options.filter((option) => !(option.name === "size" && task.options.some((o) => o.name === "scale")));
    const rare = options.filter((option) => RARE.has(option.name));
    // what will be done is seen, also of what was set on another day
    const open = this.rare || rare.some(({ name, default: usual }) => (this.wish.values[name] ?? usual) !== usual);
    const more = make("details", { open }, make("summary", {}, t("more")), ...rare.map((o) => field(o, context)));
    more.addEventListener("toggle", () => (this.rare = more.open));
    panel.replaceChildren(
      this.choice("task", this.tasks.map((each) => [each.name, this.title(each), each.models.length > 0]), task.name),
      this.choice("model", this.offered(task), may.length === 1 ? this.wish.model : ""),
      ...this.terms(),
      ...options.filter((option) => !RARE.has(option.name)).map((option) => field(option, context)),
      this.masks(task),
      more,
      make("div", { className: "go" }, make("button", { type: "submit", id: "start", className: "main" })),
    );
    this.count();
  }

  /** @param {Task} task */
  title(task) {
    const name = t(`task.${task.name}`, {}, task.says.replace(/\.$/, "") || task.name);
    return task.models.length ? name : `${name} (${t("no.model")})`;
  }

  /**
   * @param {Task} task
   * @returns {[string, string, boolean][]}
   */
  offered(task) {
    return [["", t("model.auto"), true], ...task.models.map((name) => /** @type {[string, string, boolean]} */ ([name, name, true]))];
  }

  /** What the chosen model is for, and on which terms. */
  terms() {
    const model = this.models.find((each) => each.name === this.wish.model && this.task?.models.includes(each.name));
    return [model?.says, model?.terms].filter(Boolean).map((words) => make("p", { className: "small", lang: "en" }, words ?? ""));
  }

  /**
   * @param {"task" | "model"} name
   * @param {[string, string, boolean][]} choices  value, words, whether it can be had
   * @param {string} chosen
   */
  choice(name, choices, chosen) {
    const box = make("select", { id: name }, ...choices.map(([value, words, can]) => make("option", { value, disabled: !can }, words)));
    box.value = chosen;
    box.addEventListener("change", () => {
      this.wish[name] = box.value;
      if (name === "task") this.wish.model = "";
      delete this.wish.values.scale;
      this.keep();
      this.show();
      this.does.turn();
      at(name).focus();
    });
    return make("div", { className: "field" }, make("label", { for: name }, t(name)), box);
  }

  /** @param {Task} task */
  masks(task) {
    if (!task.takes.includes("mask")) return make("div", { hidden: true });
    const needed = task.needs.includes("mask");
    const note = make("p", { className: "small", id: "mask-note" });
    return make(
      "div",
      { className: "field", role: "group", "aria-label": t("mask"), "aria-describedby": note.id },
      note,
      make(
        "div",
        { className: "row" },
        make("button", { type: "button", id: "mask", onclick: () => this.does.draw() }, t(needed ? "mask.draw" : "mask.keep")),
        make("button", { type: "button", id: "unmask", onclick: () => this.does.unmask() }, t("mask.remove")),
      ),
    );
  }

  /** What the button does: to all that is not sent yet, or to the picture that is looked at once more. */
  count() {
    const button = /** @type {HTMLButtonElement | null} */ (document.getElementById("start"));
    if (!button || !this.task) return;
    const { drafts, chosen } = this.entries;
    const name = this.title(this.task);
    button.textContent = drafts.length
      ? t("start", { task: name, pictures: pictures(drafts.length) })
      : t("start.again", { task: name });
    button.disabled = !drafts.length && !chosen?.job;
    const mask = /** @type {HTMLButtonElement | null} */ (document.getElementById("mask"));
    if (mask) mask.disabled = !chosen?.size;
    const note = document.getElementById("mask-note");
    const said = this.entries.needsMask ? t("mask.needed") : t("mask.keeps");
    if (note) note.textContent = chosen && unseen(chosen) ? t("mask.unseen", { name: chosen.name }) : said;
    const unmask = document.getElementById("unmask");
    if (unmask) unmask.hidden = !chosen || !this.entries.mask(chosen);
  }
}

/**
 * What was asked for the last time.
 * @returns {{task: string, model: string, values: Record<string, any>}}
 */
function wished() {
  try {
    const { task = "", model = "", values = {} } = JSON.parse(kept("localStorage", KEPT) ?? "{}");
    return { task, model, values: { ...values } };
  } catch {
    return { task: "", model: "", values: {} }; // it is damaged
  }
}
