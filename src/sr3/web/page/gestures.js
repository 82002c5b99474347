// Mouse, touch, wheel and keys on the stage.
import { types } from "./dom.js";

/**
 * @typedef {import("./viewer.js").Viewer} Viewer
 * @typedef {{down: (x: number, y: number) => void, move: (x: number, y: number) => void, up: () => void,
 *   hover: (x: number, y: number) => void, key: (event: KeyboardEvent) => boolean}} Tool
 *   what takes a single pointer instead, such as a brush; key: whether it took the key
 */

const NEAR = 28;
const STEP = 0.02;

/**
 * Let a viewer be moved. `tool`: the tool at hand, or null.
 * @param {Viewer} viewer
 * @param {() => Tool | null} tool
 */
export function gestures(viewer, tool) {
  pointers(viewer, tool);
  viewer.box.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = spot(viewer, event);
      const lines = event.deltaMode === 1 ? 16 : 1;
      viewer.zoom(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 120 : 500)), x, y);
    },
    { passive: false },
  );
  const elsewhere = (/** @type {EventTarget | null} */ target) =>
    types(target) || (target instanceof Element && target.closest("[role=listbox], form, header") !== null);
  document.addEventListener("keydown", (event) => {
    const undoes = event.key.toLowerCase() === "z" && !event.shiftKey && tool() !== null;
    if (event.defaultPrevented || elsewhere(event.target)) return;
    if ((event.ctrlKey || event.metaKey) && !undoes) return; // these are the browser's
    const onButton = event.target instanceof Element && event.target.closest("button, a, label, input") !== null;
    if (onButton && (event.key === " " || event.key === "Enter" || event.key.startsWith("Arrow"))) return;
    if (tool()?.key(event) || key(viewer, event)) event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && viewer.held) viewer.hold(false);
  });
  window.addEventListener("blur", () => viewer.held && viewer.hold(false));
}

/**
 * @param {Viewer} viewer
 * @param {MouseEvent} event
 */
function spot(viewer, event) {
  const box = viewer.box.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/**
 * A key of the stage; whether it is one.
 * @param {Viewer} viewer
 * @param {KeyboardEvent} event
 */
function key(viewer, event) {
  const far = event.shiftKey ? 60 : 0;
  /** @type {Record<string, () => void>} */
  const does = {
    ArrowLeft: () => (far ? viewer.pan(far, 0) : viewer.slide(viewer.slider - STEP)),
    ArrowRight: () => (far ? viewer.pan(-far, 0) : viewer.slide(viewer.slider + STEP)),
    ArrowUp: () => (far ? viewer.pan(0, far) : viewer.slide(viewer.slider + STEP)),
    ArrowDown: () => (far ? viewer.pan(0, -far) : viewer.slide(viewer.slider - STEP)),
    Home: () => viewer.slide(0),
    End: () => viewer.slide(1),
    PageUp: () => viewer.slide(viewer.slider + 0.1),
    PageDown: () => viewer.slide(viewer.slider - 0.1),
    "+": () => viewer.zoom(1.25),
    "=": () => viewer.zoom(1.25),
    "-": () => viewer.zoom(0.8),
    1: () => viewer.actual(),
    0: () => viewer.fit(),
    l: () => viewer.toggleLens(),
    " ": () => viewer.hold(true),
  };
  const found = does[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  found?.();
  return found !== undefined;
}

/**
 * @param {Viewer} viewer
 * @param {() => Tool | null} tool
 */
function pointers(viewer, tool) {
  /** @type {Map<number, {x: number, y: number}>} */
  const down = new Map();
  /** @type {"slide" | "pan" | "lens" | "tool" | "pinch" | null} */
  let doing = null;
  /** When the last tap ended, and where this touch began. */
  let tapped = -1e9;
  let began = { x: 0, y: 0 };

  viewer.box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 && event.pointerType === "mouse") return;
    const here = spot(viewer, event);
    viewer.box.setPointerCapture(event.pointerId);
    viewer.handle.focus({ preventScroll: true });
    event.preventDefault();
    down.set(event.pointerId, here);
    if (down.size === 2) {
      if (doing === "tool") tool()?.up();
      doing = "pinch";
      return;
    }
    if (event.pointerType === "touch" && event.timeStamp - tapped < 300 && tool() === null) viewer.toggle(here.x, here.y);
    began = here;
    doing = what(viewer, here, tool(), event.pointerType);
    if (doing === "tool") tool()?.down(here.x, here.y);
    if (doing === "slide") viewer.slide(here.x / viewer.stage.width);
    if (doing === "lens") viewer.aim(here);
  });

  viewer.box.addEventListener("pointermove", (event) => {
    const here = spot(viewer, event);
    const last = down.get(event.pointerId);
    if (event.pointerType !== "touch") viewer.aim(here);
    if (!last) return tool()?.hover(here.x, here.y);
    if (doing === "pinch") pinch(viewer, down, event.pointerId, here);
    else if (doing === "slide") viewer.slide(here.x / viewer.stage.width);
    else if (doing === "pan") viewer.pan(here.x - last.x, here.y - last.y);
    else if (doing === "lens") viewer.aim(here);
    else if (doing === "tool") for (const each of between(event)) tool()?.move(...spotted(viewer, each));
    down.set(event.pointerId, here);
  });

  const up = (/** @type {PointerEvent} */ event) => {
    const last = down.get(event.pointerId);
    if (!last) return;
    down.delete(event.pointerId);
    const still = doing !== "pinch" && Math.hypot(last.x - began.x, last.y - began.y) < 8;
    tapped = still ? event.timeStamp : -1e9;
    if (doing === "tool") tool()?.up();
    doing = down.size === 1 && doing === "pinch" ? "pan" : null;
  };
  viewer.box.addEventListener("pointerup", up);
  viewer.box.addEventListener("pointercancel", up);
  viewer.box.addEventListener("dblclick", (event) => {
    const { x, y } = spot(viewer, event);
    if (tool() === null) viewer.toggle(x, y);
  });
}

/** @type {(viewer: Viewer, event: PointerEvent) => [number, number]} */
const spotted = (viewer, event) => {
  const { x, y } = spot(viewer, event);
  return [x, y];
};

/** @type {(event: PointerEvent) => PointerEvent[]} */
const between = (event) => {
  const all = event.getCoalescedEvents?.() ?? [];
  return all.length ? all : [event];
};

/**
 * What a pointer that comes down here begins.
 * @param {Viewer} viewer
 * @param {{x: number, y: number}} here
 * @param {Tool | null} tool
 * @param {string} type
 */
function what(viewer, here, tool, type) {
  if (tool) return "tool";
  const near = Math.abs(here.x - viewer.slider * viewer.stage.width) < NEAR;
  if (viewer.left !== null && (near || (viewer.fits && !(viewer.lens && type === "touch")))) return "slide";
  return viewer.lens && type === "touch" ? "lens" : "pan";
}

/**
 * Two fingers: what lies under them stays under them.
 * @param {Viewer} viewer
 * @param {Map<number, {x: number, y: number}>} down
 * @param {number} id
 * @param {{x: number, y: number}} here
 */
function pinch(viewer, down, id, here) {
  const last = down.get(id);
  const other = [...down].find(([each]) => each !== id)?.[1];
  if (!last || !other) return;
  const before = Math.hypot(last.x - other.x, last.y - other.y);
  const now = Math.hypot(here.x - other.x, here.y - other.y);
  viewer.pan((here.x - last.x) / 2, (here.y - last.y) / 2);
  if (before > 10) viewer.zoom(now / before, (here.x + other.x) / 2, (here.y + other.y) / 2);
}
