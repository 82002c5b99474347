// What is drawn over the pictures: the lens, the map of differences, the brush.

export const MAGNIFIED = 3;

/** From so many of the screen's pixels for one of the picture's on, pixels are shown as squares. */
export const SQUARES = 6;

/**
 * The lens: the same spot of both pictures side by side, three times larger than around it; above the pointer or, where
 * there is no room, below.
 * @param {import("./viewer.js").Viewer} viewer
 */
export function magnify(viewer) {
  const { pen, stage } = viewer;
  const spot = viewer.pointer ?? { x: stage.width / 2, y: stage.height / 2 };
  const here = viewer.point(spot.x, spot.y);
  const radius = Math.max(40, Math.min(96, stage.width / 5, stage.height / 5));
  const above = spot.y - radius - 28;
  const y = above > radius + 4 ? above : spot.y + radius + 28;
  const middle = Math.min(Math.max(spot.x, 2 * radius + 6), stage.width - 2 * radius - 6);
  const scale = viewer.camera.zoom * MAGNIFIED;
  const layers = viewer.left ? [viewer.left, viewer.right] : [viewer.right];
  layers.forEach((layer, k) => {
    const x = layers.length > 1 ? middle + (2 * k - 1) * (radius + 3) : middle;
    pen.save();
    circle(pen, x, y, radius);
    pen.fillStyle = "#777";
    pen.fill();
    pen.clip();
    viewer.smooth(scale);
    layer?.draw(pen, { scale, x: x - here.x * scale, y: y - here.y * scale });
    pen.restore();
    circle(pen, x, y, radius);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.stroke();
  });
}

/** @type {(pen: CanvasRenderingContext2D, x: number, y: number, radius: number) => void} */
function circle(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
}

const HEAT = "#ffb000";
const aside = document.createElement("canvas");

/**
 * The map of where answers differ: the picture grey and dark, and the map's light on it in one colour.
 * @param {import("./viewer.js").Viewer} viewer
 * @param {import("./layer.js").Layer} map
 * @param {import("./camera.js").Place} place
 */
export function lay({ pen, canvas, frame }, map, place) {
  const box = /** @type {const} */ ([place.x, place.y, frame.width * place.scale, frame.height * place.scale]);
  pen.save();
  pen.beginPath();
  pen.rect(...box);
  pen.clip();
  pen.globalCompositeOperation = "saturation";
  pen.fillStyle = "#777";
  pen.fillRect(...box);
  pen.globalCompositeOperation = "source-over";
  pen.fillStyle = "rgb(0 0 0 / 45%)";
  pen.fillRect(...box);
  aside.width = canvas.width;
  aside.height = canvas.height;
  const other = /** @type {CanvasRenderingContext2D} */ (aside.getContext("2d"));
  other.fillRect(0, 0, aside.width, aside.height);
  other.setTransform(pen.getTransform());
  map.draw(other, place);
  other.setTransform(1, 0, 0, 1, 0, 0);
  other.globalCompositeOperation = "multiply";
  other.fillStyle = HEAT;
  other.fillRect(0, 0, aside.width, aside.height);
  pen.globalCompositeOperation = "screen";
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.drawImage(aside, 0, 0);
  pen.restore();
}

/**
 * The outline of the brush.
 * @param {CanvasRenderingContext2D} pen
 * @param {{x: number, y: number, side: number}} brush
 * @param {import("./camera.js").Place} place
 */
export function ring(pen, { x, y, side }, place) {
  for (const [colour, wide] of /** @type {const} */ ([["#000", 3], ["#fff", 1.5]])) {
    circle(pen, place.x + x * place.scale, place.y + y * place.scale, (side * place.scale) / 2);
    pen.strokeStyle = colour;
    pen.lineWidth = wide;
    pen.stroke();
  }
}
