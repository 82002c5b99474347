// One picture on the stage: first whole at a size for the screen, then sharp where one looks closely.
import { link } from "./api.js";

/**
 * @typedef {import("./camera.js").Size} Size
 * @typedef {{x: number, y: number, width: number, height: number}} Box
 * @typedef {HTMLImageElement | ImageBitmap | HTMLCanvasElement} Drawn
 * @typedef {{key: string, label: string, url: string | null, drawn?: Drawn | null, size: Size, place: Box}} Source
 *   url: where the server shows it; drawn: what is shown until then; size: its pixels; place: where in the frame
 */

/** Sides that are asked for of a whole picture, so that the browser's cache is met. */
const WIDTHS = [512, 1024, 2048];
const WIDEST = 4096;

export class Layer {
  /**
   * @param {Source} source
   * @param {() => void} changed
   */
  constructor(source, changed) {
    this.source = source;
    this.changed = changed;
    /** @type {Drawn | null} */
    this.whole = source.drawn ?? null;
    this.loaded = false;
    /** @type {{box: Box, image: HTMLImageElement, density: number} | null} */
    this.detail = null;
    this.asked = "";
    this.gone = false;
  }

  /**
   * The same picture, of which more may be there now.
   * @param {Source} source
   */
  now(source) {
    this.source = source;
    if (!this.loaded) this.whole = source.drawn ?? this.whole;
  }

  /**
   * Load the whole picture, wide enough for so many of the screen's pixels.
   * @param {number} wide
   */
  async load(wide) {
    if (this.loaded || this.source.url === null) return;
    this.loaded = true;
    const width = WIDTHS.find((each) => each >= wide) ?? Math.max(...WIDTHS);
    const image = await loaded(link(this.source.url, { view: width }));
    if (this.gone || image === null) return;
    this.whole = image;
    this.changed();
  }

  /**
   * Ask for what is seen of it, where it is not there as sharp as it could be.
   * @param {Box} seen  a part of the frame
   * @param {number} scale  the screen's pixels for one of the frame's
   */
  async look(seen, scale) {
    const { url, size, place } = this.source;
    if (url === null || this.whole === null) return;
    const across = size.width / place.width;
    const density = Math.min(1, scale / across);
    const box = part(seen, place, across, size);
    if (box === null || density <= (this.whole.width / size.width) * 1.05) return;
    const had = this.detail;
    if (had && had.density >= density * 0.95 && holds(had.box, box)) return;
    const large = part(wider(seen, 0.15), place, across, size) ?? box;
    const wide = Math.min(WIDEST, Math.max(1, Math.ceil(large.width * density)));
    const query = { view: wide, box: [large.x, large.y, large.width, large.height].join(",") };
    const address = link(url, query);
    if (address === this.asked) return;
    this.asked = address;
    const image = await loaded(address);
    if (this.gone || image === null || this.asked !== address) return;
    this.detail = { box: large, image, density: wide / large.width };
    this.changed();
  }

  /**
   * Draw it, where the frame lies as said.
   * @param {CanvasRenderingContext2D} pen
   * @param {import("./camera.js").Place} at
   */
  draw(pen, at) {
    if (this.whole === null) return;
    const { size, place } = this.source;
    const x = at.x + place.x * at.scale;
    const y = at.y + place.y * at.scale;
    const wide = place.width * at.scale;
    const high = place.height * at.scale;
    pen.drawImage(this.whole, x, y, wide, high);
    if (this.detail === null || wide / size.width < 0.01) return;
    const { box, image } = this.detail;
    const [h, v] = [wide / size.width, high / size.height];
    pen.drawImage(image, x + box.x * h, y + box.y * v, box.width * h, box.height * v);
  }

  /** It is looked at no more. */
  drop() {
    this.gone = true;
    this.detail = null;
  }
}

/**
 * An image, decoded; null where it cannot be had.
 * @param {string} address
 * @returns {Promise<HTMLImageElement | null>}
 */
export async function loaded(address) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  }
}

/**
 * A part of the frame in whole pixels of a picture; null where they do not meet.
 * @param {Box} seen
 * @param {Box} place
 * @param {number} across
 * @param {Size} size
 * @returns {Box | null}
 */
function part(seen, place, across, size) {
  const x = Math.max(0, Math.floor((seen.x - place.x) * across));
  const y = Math.max(0, Math.floor((seen.y - place.y) * across));
  const right = Math.min(size.width, Math.ceil((seen.x + seen.width - place.x) * across));
  const bottom = Math.min(size.height, Math.ceil((seen.y + seen.height - place.y) * across));
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}

/** @type {(outer: Box, inner: Box) => boolean} */
const holds = (outer, inner) =>
  outer.x <= inner.x &&
  outer.y <= inner.y &&
  outer.x + outer.width >= inner.x + inner.width &&
  outer.y + outer.height >= inner.y + inner.height;

/** @type {(box: Box, by: number) => Box} */
const wider = (box, by) => ({
  x: box.x - box.width * by,
  y: box.y - box.height * by,
  width: box.width * (1 + 2 * by),
  height: box.height * (1 + 2 * by),
});
