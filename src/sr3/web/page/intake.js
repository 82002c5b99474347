// Pictures that are dropped, pasted or chosen become entries of the gallery.
import { ask } from "./api.js";
import { at, say, warn } from "./dom.js";
import { Entries } from "./entries.js";
import { loaded } from "./layer.js";
import { pictures, t } from "./strings.js";

const SCREEN = 2048;
const THUMB = 320;
const KINDS = /\.(png|jpe?g|jpe|jfif|webp|avif|gif|bmp|tiff?|hei[cf]|jp2|j2k|jxl|tga|ico|ppm|pgm|pnm|qoi)$/i;
let count = 0;

/**
 * @param {Entries} entries
 */
export function intake(entries) {
  const take = (/** @type {Iterable<File>} */ files) => bring(entries, [...files]);
  const chooser = /** @type {HTMLInputElement} */ (at("files"));
  chooser.addEventListener("change", () => {
    take(chooser.files ?? []);
    chooser.value = "";
  });
  for (const button of document.querySelectorAll(".choose")) button.addEventListener("click", () => chooser.click());

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      take(files);
    }
  });
  let deep = 0;
  const veil = (/** @type {boolean} */ on) => (at("drop").hidden = !on);
  document.addEventListener("dragenter", (event) => {
    if (event.dataTransfer?.types.includes("Files")) veil((deep += 1) > 0);
  });
  document.addEventListener("dragleave", () => veil((deep = Math.max(0, deep - 1)) > 0));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    veil((deep = 0) > 0);
    if (!event.dataTransfer?.types.includes("Files")) return;
    /** @type {string[]} */
    const lost = [];
    const files = await dropped(event.dataTransfer, lost);
    take(files);
    const [name = "", ...more] = lost;
    if (more.length) warn(t("unread.many", { name, count: lost.length }));
    else if (name) warn(t("unread.one", { name }));
    else if (!files.length) warn(t("no.pictures"));
  });

  let opening = false;
  entries.listen(async (what) => {
    if (what !== "chosen" || opening) return;
    opening = true;
    let tried = null;
    for (let entry = entries.chosen; entry !== tried && entry?.size && !entry.image; entry = entries.chosen) {
      tried = entry;
      await open(entries, entry);
    }
    opening = false;
  });
}

/**
 * The files of a drop, those in folders too.
 * @param {DataTransfer} brought
 * @param {string[]} lost  takes the names of what cannot be read
 * @returns {Promise<File[]>}
 */
async function dropped(brought, lost) {
  const roots = [...brought.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!roots.some((root) => root?.isDirectory)) return [...brought.files];
  const found = await Promise.all(roots.map((root) => (root ? inside(root, lost) : [])));
  return found.flat();
}

/**
 * The pictures of a folder, or the one of a file.
 * @param {FileSystemEntry} entry
 * @param {string[]} lost
 * @returns {Promise<File[]>}
 */
async function inside(entry, lost) {
  if (entry.isFile && !KINDS.test(entry.name)) return [];
  const found = [];
  try {
    if (entry.isFile) return [await new Promise((done, no) => /** @type {FileSystemFileEntry} */ (entry).file(done, no))];
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const some = await new Promise((done, no) => reader.readEntries(done, no));
      if (!some.length) return found;
      for (const each of some) found.push(...(await inside(each, lost)));
    }
  } catch {
    lost.push(entry.name);
    return found;
  }
}

/**
 * @param {Entries} entries
 * @param {File[]} files
 */
async function bring(entries, files) {
  const wanted = files.filter((file) => file.type.startsWith("image/") || KINDS.test(file.name));
  if (!wanted.length) {
    if (files.length) warn(t("no.pictures"));
    return;
  }
  warn(null);
  const made = wanted.map(draft);
  entries.add(made);
  entries.choose(made[0] ?? null);
  say(t("added", { pictures: pictures(made.length) }));
  for (const entry of made) {
    await look(entries, entry);
    entries.tell("entry", entry);
  }
}

/**
 * An entry for a file.
 * @param {File} file
 */
const draft = (file) => Entries.make({ id: `draft-${(count += 1)}`, name: file.name || "picture.png", file });

/**
 * A new entry for the picture of a job, to be sent again.
 * @param {Entries} entries
 * @param {import("./entries.js").Entry} entry
 */
export async function again(entries, entry) {
  const blob = await (await ask(entry.job?.links.picture ?? "")).blob();
  const made = draft(new File([blob], entry.name, { type: blob.type }));
  made.mask = entry.mask;
  await look(entries, made);
  return made;
}

/**
 * Learn a picture's size and make its thumbnail. Some kinds no browser reads: these have neither yet.
 * @param {Entries} entries
 * @param {import("./entries.js").Entry} entry
 */
async function look(entries, entry) {
  try {
    const { size, image } = await decoded(entry);
    entry.thumb = await thumbnail(image);
    entry.size = size;
    show(entries, entry, image);
  } catch {
    // it may be a kind that the server reads all the same
  }
  entry.looked = true;
}

/**
 * Show a picture that is looked at again: first its thumbnail, then all that the screen needs of it.
 * @param {Entries} entries
 * @param {import("./entries.js").Entry} entry
 */
async function open(entries, entry) {
  if (!entry.file || entry.job) return;
  const small = entry.thumb && (await loaded(entry.thumb));
  if (small) show(entries, entry, small);
  try {
    show(entries, entry, (await decoded(entry)).image);
  } catch {
    // its file is not there any more
  }
}

/**
 * Only what is looked at is held: a picture takes much memory, and there may be hundreds.
 * @param {Entries} entries
 * @param {import("./entries.js").Entry} entry
 * @param {ImageBitmap | HTMLImageElement} image
 */
function show(entries, entry, image) {
  if (entry === entries.chosen && !entry.job) {
    entry.image = image;
    entries.tell("entry", entry);
  } else if (image instanceof ImageBitmap) image.close();
}

/**
 * A picture's size, and it, no larger than the screen needs.
 * @param {import("./entries.js").Entry} entry
 * @returns {Promise<{size: [number, number], image: ImageBitmap}>}
 */
async function decoded({ file }) {
  const address = URL.createObjectURL(/** @type {File} */ (file));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const { naturalWidth: wide, naturalHeight: high } = image;
    const share = Math.min(1, SCREEN / Math.max(wide, high));
    const size = { resizeWidth: Math.max(1, Math.round(wide * share)), resizeHeight: Math.max(1, Math.round(high * share)) };
    return { size: [wide, high], image: await createImageBitmap(image, { ...size, resizeQuality: "high" }) };
  } finally {
    URL.revokeObjectURL(address);
  }
}

/**
 * @param {ImageBitmap} image
 * @returns {Promise<string | null>}
 */
async function thumbnail(image) {
  const share = Math.min(1, THUMB / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * share));
  canvas.height = Math.max(1, Math.round(image.height * share));
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  /** @type {Blob | null} */
  const blob = await new Promise((done) => canvas.toBlob(done, "image/webp", 0.85));
  return blob && URL.createObjectURL(blob);
}
