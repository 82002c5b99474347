// The lens: the same spot of both pictures side by side, three times larger than around it.

export const MAGNIFIED = 3;

/**
 * Draw it over a viewer's stage, above what it shows or, where there is no room, below.
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
export function circle(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
}
