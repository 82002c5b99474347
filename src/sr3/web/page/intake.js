// Pictures that are dropped, pasted or chosen become entries of the gallery.
import { ask } from "./api.js";
import { at, say } from "./dom.js";
import { Entries } from "./entries.js";
import { pictures, t } from "./strings.js";

const SCREEN = 2048;
const THUMB = 320;
const KINDS = /\.(png|jpe?g|jpe|webp|avif|gif|bmp|tiff?|hei[cf]|jp2|j2k|jxl|tga|ico|ppm|pgm|pnm|qoi)$/i;
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
    if (event.dataTransfer) take(await dropped(event.dataTransfer));
  });
}

/**
 * The files of a drop, those in folders too.
 * @param {DataTransfer} brought
 * @returns {Promise<File[]>}
 */
async function dropped(brought) {
  const roots = [...brought.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!roots.some((root) => root?.isDirectory)) return [...brought.files];
  const found = await Promise.all(roots.map((root) => (root ? inside(root) : [])));
  return found.flat().filter((file) => KINDS.test(file.name));
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<File[]>}
 */
async function inside(entry) {
  if (entry.isFile) return [await new Promise((done, no) => /** @type {FileSystemFileEntry} */ (entry).file(done, no))];
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, no) => reader.readEntries(done, no));
    if (!some.length) return found;
    for (const each of some) found.push(...(await inside(each)));
  }
}

/**
 * @param {Entries} entries
 * @param {File[]} files
 */
async function bring(entries, files) {
  const wanted = files.filter((file) => file.type.startsWith("image/") || KINDS.test(file.name));
  if (!wanted.length) {
    if (files.length) say(t("no.pictures"));
    return;
  }
  const made = wanted.map(draft);
  entries.add(made);
  entries.choose(made[0] ?? null);
  say(t("added", { pictures: pictures(made.length) }));
  for (const entry of made) {
    await look(entry);
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
 * @param {import("./entries.js").Entry} entry
 */
export async function again(entry) {
  const blob = await (await ask(entry.job?.links.picture ?? "")).blob();
  const made = draft(new File([blob], entry.name, { type: blob.type }));
  made.mask = entry.mask;
  await look(made);
  return made;
}

/**
 * Learn a picture's size and make what the screen shows of it. Some kinds no browser reads: these have neither yet.
 * @param {import("./entries.js").Entry} entry
 */
async function look(entry) {
  if (!entry.file) return;
  const address = URL.createObjectURL(entry.file);
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const { naturalWidth: wide, naturalHeight: high } = image;
    entry.size = [wide, high];
    const share = Math.min(1, SCREEN / Math.max(wide, high));
    const size = { resizeWidth: Math.max(1, Math.round(wide * share)), resizeHeight: Math.max(1, Math.round(high * share)) };
    entry.image = await createImageBitmap(image, { ...size, resizeQuality: "high" });
    entry.thumb = await thumbnail(entry.image);
  } catch {
    // it may be a kind that the server reads all the same
  } finally {
    entry.looked = true;
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
