// Where one looks: how the pixels of a picture lie on the stage.

/**
 * zoom: CSS pixels for one of the frame's; x, y: the frame's point in the middle of the stage.
 * @typedef {{zoom: number, x: number, y: number}} Camera
 * @typedef {{width: number, height: number}} Size
 * @typedef {{scale: number, x: number, y: number}} Place  a frame's point p lies at x + scale * p
 */

export const CLOSEST = 32;

/**
 * The whole frame, in the middle.
 * @param {Size} frame
 * @param {Size} stage
 * @returns {Camera}
 */
export function fitted(frame, stage) {
  return { zoom: fitting(frame, stage), x: frame.width / 2, y: frame.height / 2 };
}

/**
 * @param {Size} frame
 * @param {Size} stage
 */
export function fitting(frame, stage) {
  return Math.min(stage.width / frame.width, stage.height / frame.height) || 1;
}

/**
 * Never beyond the edges, never smaller than whole or than a thousandth, never closer than CLOSEST.
 * @param {Camera} camera
 * @param {Size} frame
 * @param {Size} stage
 * @returns {Camera}
 */
export function bounded(camera, frame, stage) {
  const zoom = Math.min(Math.max(camera.zoom, Math.min(fitting(frame, stage), 1 / devicePixelRatio)), CLOSEST);
  /** @type {(at: number, side: number, room: number) => number} */
  const within = (at, side, room) => {
    const half = room / zoom / 2;
    return half * 2 >= side ? side / 2 : Math.min(Math.max(at, half), side - half);
  };
  return { zoom, x: within(camera.x, frame.width, stage.width), y: within(camera.y, frame.height, stage.height) };
}

/**
 * Closer by a factor, so that what lies at (px, py) of the stage stays there.
 * @param {Camera} camera
 * @param {number} factor
 * @param {number} px
 * @param {number} py
 * @param {Size} stage
 * @returns {Camera}
 */
export function closer(camera, factor, px, py, stage) {
  const zoom = Math.min(camera.zoom * factor, CLOSEST);
  const dx = px - stage.width / 2;
  const dy = py - stage.height / 2;
  return { zoom, x: camera.x + dx / camera.zoom - dx / zoom, y: camera.y + dy / camera.zoom - dy / zoom };
}

/**
 * @param {Camera} camera
 * @param {Size} stage
 * @returns {Place}
 */
export function placed(camera, stage) {
  return {
    scale: camera.zoom,
    x: stage.width / 2 - camera.x * camera.zoom,
    y: stage.height / 2 - camera.y * camera.zoom,
  };
}
