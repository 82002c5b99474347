// A mask that is drawn: strokes and boxes, which can be undone one by one, on a canvas that is never large.

/**
 * @typedef {{tool: "brush" | "eraser", side: number, points: [number, number][]}} Stroke
 * @typedef {{tool: "box", from: [number, number], to: [number, number]}} Rectangle
 * @typedef {Stroke | Rectangle} Mark
 */

/** The longest side of the canvas; the server scales it up to the picture. */
export const LARGEST = 2048;
const COLOUR = "#e0007f";

export class Mask {
  /**
   * @param {import("./camera.js").Size} size  of the picture
   * @param {string} [task]  what it is drawn for
   */
  constructor(size, task = "") {
    this.task = task;
    const share = Math.min(1, LARGEST / Math.max(size.width, size.height));
    this.canvas = document.createElement("canvas");
    this.canvas.width = Math.max(1, Math.round(size.width * share));
    this.canvas.height = Math.max(1, Math.round(size.height * share));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {Rectangle | null} */
    this.open = null;
  }

  /** Whether nothing is marked. */
  get empty() {
    return !this.marks.some((mark) => mark.tool !== "eraser");
  }

  /**
   * Begin a mark at a point; points and sides are shares of the canvas's width.
   * @param {Mark["tool"]} tool
   * @param {[number, number]} point
   * @param {number} side
   */
  begin(tool, point, side) {
    if (tool === "box") {
      this.open = { tool, from: point, to: point };
      return;
    }
    this.marks.push({ tool, side, points: [point] });
    this.segment(tool, side, point, point);
  }

  /** @param {[number, number]} point */
  extend(point) {
    if (this.open) {
      this.open.to = point;
      return;
    }
    const mark = this.marks[this.marks.length - 1];
    if (!mark || mark.tool === "box") return;
    this.segment(mark.tool, mark.side, mark.points[mark.points.length - 1] ?? point, point);
    mark.points.push(point);
  }

  end() {
    if (this.open) {
      this.marks.push(this.open);
      this.paint(this.open);
    }
    this.open = null;
  }

  undo() {
    this.marks.pop();
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const mark of this.marks) this.paint(mark);
  }

  clear() {
    this.marks = [];
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** @param {Mark} mark */
  paint(mark) {
    if (mark.tool === "box") {
      this.pen.globalCompositeOperation = "source-over";
      this.pen.fillStyle = COLOUR;
      this.pen.fillRect(...this.corners(mark));
      return;
    }
    mark.points.forEach((point, k) => this.segment(mark.tool, mark.side, mark.points[k - 1] ?? point, point));
  }

  /**
   * @param {Rectangle} box
   * @returns {[number, number, number, number]}  in whole pixels of the canvas
   */
  corners({ from, to }) {
    const wide = this.canvas.width;
    const [x, y] = [Math.floor(Math.min(from[0], to[0]) * wide), Math.floor(Math.min(from[1], to[1]) * wide)];
    const [right, bottom] = [Math.ceil(Math.max(from[0], to[0]) * wide), Math.ceil(Math.max(from[1], to[1]) * wide)];
    return [x, y, Math.max(1, right - x), Math.max(1, bottom - y)];
  }

  /**
   * @param {"brush" | "eraser"} tool
   * @param {number} side
   * @param {[number, number]} from
   * @param {[number, number]} to
   */
  segment(tool, side, from, to) {
    const wide = this.canvas.width;
    this.pen.globalCompositeOperation = tool === "brush" ? "source-over" : "destination-out";
    this.pen.strokeStyle = COLOUR;
    this.pen.lineWidth = Math.max(1, side * wide);
    this.pen.lineCap = "round";
    this.pen.beginPath();
    this.pen.moveTo(from[0] * wide, from[1] * wide);
    this.pen.lineTo(to[0] * wide + 0.01, to[1] * wide);
    this.pen.stroke();
  }

  /**
   * Draw it over the picture that fills the frame.
   * @param {CanvasRenderingContext2D} pen
   * @param {import("./camera.js").Place} at
   * @param {import("./camera.js").Size} frame
   */
  draw(pen, at, frame) {
    const [wide, high] = [frame.width * at.scale, frame.height * at.scale];
    pen.save();
    pen.globalAlpha = 0.55;
    pen.drawImage(this.canvas, at.x, at.y, wide, high);
    if (this.open) {
      const share = wide / this.canvas.width;
      const [x, y, w, h] = this.corners(this.open);
      pen.fillStyle = COLOUR;
      pen.fillRect(at.x + x * share, at.y + y * share, w * share, h * share);
    }
    pen.restore();
  }

  /**
   * As a PNG: white where it is marked, black elsewhere, nothing between.
   * @returns {Promise<Blob>}
   */
  async file() {
    const { width, height } = this.canvas;
    const pixels = this.pen.getImageData(0, 0, width, height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const on = (pixels.data[i + 3] ?? 0) > 127 ? 255 : 0;
      pixels.data.fill(on, i, i + 3);
      pixels.data[i + 3] = 255;
    }
    const copy = document.createElement("canvas");
    copy.width = width;
    copy.height = height;
    copy.getContext("2d")?.putImageData(pixels, 0, 0);
    return new Promise((done, failed) =>
      copy.toBlob((blob) => (blob ? done(blob) : failed(new Error("no mask"))), "image/png"),
    );
  }
}
