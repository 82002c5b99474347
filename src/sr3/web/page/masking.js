// The tools that draw a mask on the stage: brush, eraser, box, undo; by pointer and by keys.
import { at, make, press } from "./dom.js";
import { Mask } from "./mask.js";
import { t } from "./strings.js";

/** @typedef {import("./mask.js").Mark["tool"]} Kind */

const KINDS = /** @type {const} */ (["brush", "eraser", "box"]);

export class Masking {
  /**
   * @param {import("./viewer.js").Viewer} viewer
   * @param {() => void} done
   */
  constructor(viewer, done) {
    this.viewer = viewer;
    this.done = done;
    /** @type {Mask | null} */
    this.mask = null;
    /** @type {Kind} */
    this.kind = "brush";
    this.side = 0.08;
    /** @type {[number, number]} */
    this.cursor = [0.5, 0.5];
    /** @type {Map<Kind, HTMLButtonElement>} */
    this.buttons = new Map();
    this.build();
  }

  build() {
    const bar = at("mask-tools");
    for (const kind of KINDS) {
      const button = make("button", { type: "button", onclick: () => this.take(kind) }, t(`mask.${kind}`));
      this.buttons.set(kind, button);
      bar.append(button);
    }
    const size = make("input", { type: "range", min: "1", max: "40", value: String(this.side * 100) });
    size.addEventListener("input", () => {
      this.side = Number(size.value) / 100;
      this.show();
    });
    bar.append(
      make("label", { className: "size" }, t("mask.size"), size),
      make("button", { type: "button", id: "mask-undo", onclick: () => this.change((mask) => mask.undo()) }, t("mask.undo")),
      make("button", { type: "button", onclick: () => this.change((mask) => mask.clear()) }, t("mask.clear")),
      make("button", { type: "button", id: "mask-done", className: "main", onclick: () => this.close() }, t("mask.done")),
    );
    this.take("brush");
  }

  /** @param {Kind} kind */
  take(kind) {
    this.kind = kind;
    for (const [each, button] of this.buttons) press(button, each === kind);
    this.show();
  }

  /**
   * Draw on a picture's mask, a new one where it has none for this task.
   * @param {Mask | null} mask
   * @param {import("./camera.js").Size} size  of the picture
   * @param {string} task
   */
  open(mask, size, task) {
    this.mask = mask?.task === task ? mask : new Mask(size, task);
    this.cursor = [0.5, this.mask.canvas.height / this.mask.canvas.width / 2];
    this.viewer.mask = this.mask;
    at("mask-tools").hidden = false;
    at("tools").hidden = true;
    at("keys").textContent = t("mask.keys");
    this.show();
    this.viewer.paints = true;
    at("handle").hidden = false;
    at("handle").focus({ preventScroll: true });
    return this.mask;
  }

  close() {
    if (!this.mask) return;
    this.mask = null;
    this.viewer.brush = null;
    this.viewer.paints = false;
    at("mask-tools").hidden = true;
    at("tools").hidden = false;
    at("keys").textContent = t("keys");
    this.viewer.later();
    this.done();
  }

  /** @param {(mask: Mask) => void} how */
  change(how) {
    if (!this.mask) return;
    how(this.mask);
    this.show();
  }

  /** Draw what has changed, and the brush where it is held. */
  show() {
    const wide = this.viewer.frame.width;
    const [x, y] = [this.cursor[0] * wide, this.cursor[1] * wide];
    const side = this.kind === "box" ? 0.01 : this.side;
    this.viewer.brush = this.mask ? { x, y, side: side * wide } : null;
    this.viewer.later();
  }

  /**
   * What takes the pointer and the keys while a mask is open.
   * @returns {import("./gestures.js").Tool | null}
   */
  get tool() {
    return this.mask ? this : null;
  }

  /** @type {(x: number, y: number) => [number, number]} */
  held(x, y) {
    const { x: fx, y: fy } = this.viewer.point(x, y);
    return [fx / this.viewer.frame.width, fy / this.viewer.frame.width];
  }

  /** @type {(x: number, y: number) => void} */
  down(x, y) {
    this.cursor = this.held(x, y);
    this.change((mask) => mask.begin(this.kind, this.cursor, this.side));
  }

  /** @type {(x: number, y: number) => void} */
  move(x, y) {
    this.cursor = this.held(x, y);
    this.change((mask) => mask.extend(this.cursor));
  }

  up() {
    this.change((mask) => mask.end());
  }

  /** @type {(x: number, y: number) => void} */
  hover(x, y) {
    this.cursor = this.held(x, y);
    this.show();
  }

  /**
   * Arrows move the brush, the space bar puts it down (of a box: first one corner, then the other).
   * @param {KeyboardEvent} event
   */
  key(event) {
    const step = Math.max(0.01, this.side / 2);
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (by) {
      const high = this.viewer.frame.height / this.viewer.frame.width;
      const within = (/** @type {number} */ n, /** @type {number} */ most) => Math.min(most, Math.max(0, n));
      this.cursor = [within(this.cursor[0] + (by[0] ?? 0), 1), within(this.cursor[1] + (by[1] ?? 0), high)];
      this.change((mask) => mask.open && mask.extend(this.cursor));
    } else if (event.key === " ") {
      this.change((mask) => {
        if (!mask.open) mask.begin(this.kind, this.cursor, this.side);
        if (this.kind !== "box" || mask.open?.to !== mask.open?.from) mask.end();
      });
    } else if (event.key === "Escape") this.close();
    else if (event.key.toLowerCase() === "z") this.change((mask) => mask.undo());
    else return false;
    return true;
  }
}
