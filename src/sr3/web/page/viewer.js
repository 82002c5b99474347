// The stage: two pictures in one frame, with a slider, a lens and zoom that work at the same time.
import { bounded, closer, fitted, fitting, placed } from "./camera.js";
import { at } from "./dom.js";
import { Layer } from "./layer.js";
import { MAGNIFIED, lay, magnify, ring, SQUARES } from "./overlay.js";
import { t } from "./strings.js";

/**
 * @typedef {import("./camera.js").Size} Size
 * @typedef {import("./layer.js").Source} Source
 * @typedef {{frame: Size, left: Source | null, right: Source, over: Source | null}} Scene
 *   left: null where there is nothing to compare; over: the map of differences
 */

export class Viewer {
  constructor() {
    this.box = at("view");
    this.handle = at("handle");
    this.canvas = /** @type {HTMLCanvasElement} */ (at("canvas"));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    /** @type {Size} */
    this.stage = { width: 1, height: 1 };
    /** @type {Size} */
    this.frame = { width: 1, height: 1 };
    this.camera = fitted(this.frame, this.stage);
    this.fits = true;
    this.slider = 0.5;
    this.original = false;
    this.held = false;
    this.lens = false;
    /** @type {{x: number, y: number} | null} */
    this.pointer = null;
    /** @type {Layer | null} */ this.left = null;
    /** @type {Layer | null} */ this.right = null;
    /** @type {Layer | null} */ this.over = null;
    /** @type {import("./mask.js").Mask | null} */
    this.mask = null;
    /** @type {{x: number, y: number, side: number} | null} */
    this.brush = null;
    this.drawn = 0;
    this.paints = false;
    this.waits = false;
    this.timer = 0;
    /** @type {() => void} */
    this.moved = () => {};
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  /**
   * Show a scene. A layer that was shown before is kept; the camera too, where the frame has the same shape.
   * @param {Scene} scene
   */
  show(scene) {
    const old = [this.left, this.right, this.over];
    /** @type {(source: Source | null) => Layer | null} */
    const layer = (source) => {
      const found = source && old.find((each) => each?.source.key === source.key);
      if (found && source) found.now(source);
      return found ?? (source && new Layer(source, () => this.later()));
    };
    const before = this.frame;
    [this.left, this.right, this.over] = [layer(scene.left), layer(scene.right), layer(scene.over)];
    for (const each of old) if (each && ![this.left, this.right, this.over].includes(each)) each.drop();
    this.frame = scene.frame;
    if (scene.frame.width !== before.width || scene.frame.height !== before.height) this.reframe(before);
    this.name(scene);
    if (this.stage.width > 1) for (const each of [this.left, this.right, this.over]) each?.load(this.wide);
    this.later();
  }

  /** The longest side of the stage in the screen's pixels. */
  get wide() {
    return Math.max(this.stage.width, this.stage.height) * devicePixelRatio;
  }

  /** Nothing is shown. */
  blank() {
    for (const each of [this.left, this.right, this.over]) each?.drop();
    this.left = this.right = this.over = null;
    for (const id of ["handle", "tag-left", "tag-right"]) at(id).hidden = true;
    this.later();
  }

  /** @param {Scene} scene */
  name(scene) {
    const two = scene.left !== null;
    this.handle.hidden = !two && !this.paints;
    for (const [id, source] of /** @type {const} */ ([["tag-left", scene.left], ["tag-right", scene.right]])) {
      at(id).textContent = source?.label ?? "";
      at(id).hidden = !two;
    }
    const names = { left: scene.left?.label ?? "", right: scene.right.label };
    this.canvas.setAttribute("aria-label", two ? t("compared", names) : names.right);
    this.handle.setAttribute("aria-label", t("slider", names));
    this.slide(this.slider);
  }

  /**
   * Replace what the right side shows, as while it is being made.
   * @param {import("./layer.js").Drawn} image
   */
  preview(image) {
    if (this.right) this.right.whole = image;
    this.drawn += 1;
    this.canvas.dataset.previews = String(this.drawn);
    this.later();
  }

  /** @param {Size} before */
  reframe(before) {
    const alike = Math.abs(before.width / before.height - this.frame.width / this.frame.height) < 0.01;
    if (this.fits || !alike) return this.fit();
    const ratio = this.frame.width / before.width;
    const { zoom, x, y } = this.camera;
    this.look({ zoom: zoom / ratio, x: x * ratio, y: y * ratio });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!width || !height) return;
    this.stage = { width, height };
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    if (this.fits) this.fit();
    else this.look(this.camera);
    this.draw(); // at once: a canvas that has been sized is empty
  }

  /** @param {import("./camera.js").Camera} camera */
  look(camera) {
    this.camera = bounded(camera, this.frame, this.stage);
    this.fits = Math.abs(this.camera.zoom / fitting(this.frame, this.stage) - 1) < 1e-3;
    this.box.classList.toggle("close", !this.fits);
    this.moved();
    this.later();
  }

  fit() {
    this.look(fitted(this.frame, this.stage));
  }

  /**
   * Closer by a factor, around a point of the stage.
   * @param {number} factor
   */
  zoom(factor, x = this.stage.width / 2, y = this.stage.height / 2) {
    this.look(closer(this.camera, factor, x, y, this.stage));
  }

  /**
   * From the whole to a closer look at a point, and back.
   * @param {number} x
   * @param {number} y
   */
  toggle(x, y) {
    const twice = 2 * fitting(this.frame, this.stage);
    if (this.fits) this.zoom(Math.max(1 / devicePixelRatio, twice) / this.camera.zoom, x, y);
    else this.fit();
  }

  /** One pixel of the picture for one of the screen. */
  actual(x = this.stage.width / 2, y = this.stage.height / 2) {
    this.zoom(1 / devicePixelRatio / this.camera.zoom, x, y);
  }

  /**
   * @param {number} dx
   * @param {number} dy
   */
  pan(dx, dy) {
    const { zoom, x, y } = this.camera;
    this.look({ zoom, x: x - dx / zoom, y: y - dy / zoom });
  }

  /** @param {number} to  a share of the stage's width */
  slide(to) {
    this.slider = Math.min(1, Math.max(0, to));
    const percent = Math.round(this.slider * 100);
    this.handle.style.left = `${this.slider * 100}%`;
    this.handle.setAttribute("aria-valuenow", String(percent));
    this.handle.setAttribute("aria-valuetext", t("slider.value", { percent }));
    at("tag-left").classList.toggle("off", this.slider < 0.12);
    at("tag-right").classList.toggle("off", this.slider > 0.88);
    this.later();
  }

  /** @param {boolean} on  show the left picture alone */
  showOriginal(on) {
    this.original = on;
    this.box.classList.toggle("original", on);
    this.moved();
    this.later();
  }

  /** @param {boolean} on  the same for as long as a key is held */
  hold(on) {
    this.held = on;
    this.showOriginal(on);
  }

  toggleLens() {
    this.lens = !this.lens;
    this.moved();
    this.later();
  }

  /** @param {{x: number, y: number}} here  where the lens is held */
  aim(here) {
    this.pointer = here;
    if (this.lens) this.later();
  }

  /**
   * The frame's point at a point of the stage.
   * @param {number} x
   * @param {number} y
   */
  point(x, y) {
    const place = placed(this.camera, this.stage);
    return { x: (x - place.x) / place.scale, y: (y - place.y) / place.scale };
  }

  /** Draw before the screen is shown next, once for all that has changed. */
  later() {
    if (!this.waits) {
      this.waits = true;
      requestAnimationFrame(() => {
        this.waits = false;
        this.draw();
      });
    }
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.sharpen(), 120);
  }

  /** Ask for what is seen and not there yet. */
  sharpen() {
    const scale = this.camera.zoom * devicePixelRatio * (this.lens ? MAGNIFIED : 1);
    const corner = this.point(0, 0);
    const { width, height } = this.stage;
    const seen = { ...corner, width: width / this.camera.zoom, height: height / this.camera.zoom };
    for (const layer of [this.left, this.right, this.over]) {
      layer?.load(this.wide);
      layer?.look(seen, scale);
    }
  }

  draw() {
    const { pen, stage } = this;
    const place = placed(this.camera, stage);
    const edge = this.left === null ? 0 : this.original ? stage.width : this.slider * stage.width;
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, stage.width, stage.height);
    this.smooth(place.scale);
    this.clipped(edge, 0, stage.width - edge, stage.height, () => {
      this.right?.draw(pen, place);
      if (this.over) lay(this, this.over, place);
    });
    this.clipped(0, 0, edge, stage.height, () => this.left?.draw(pen, place));
    this.mask?.draw(pen, place, this.frame);
    if (this.brush) ring(pen, this.brush, place);
    if (this.lens) magnify(this);
  }

  /** @param {number} scale */
  smooth(scale) {
    this.pen.imageSmoothingEnabled = scale * devicePixelRatio < SQUARES;
    this.pen.imageSmoothingQuality = "high";
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} wide
   * @param {number} high
   * @param {() => void} draw
   */
  clipped(x, y, wide, high, draw) {
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(x, y, wide, high);
    this.pen.clip();
    draw();
    this.pen.restore();
  }
}
