// Which pictures an entry has to show, and which two of them are beside each other on the stage.
import { isActive } from "./entries.js";
import { t } from "./strings.js";

/**
 * @typedef {import("./entries.js").Entry} Entry
 * @typedef {import("./layer.js").Source} Source
 * @typedef {import("./camera.js").Size} Size
 * @typedef {import("./layer.js").Box} Box
 */

/** @type {(size: [number, number]) => Size} */
const sized = ([width, height]) => ({ width, height });

/**
 * The size of what is shown on the stage; null where nothing can be.
 * @param {Entry} entry
 * @returns {Size | null}
 */
export function frameOf(entry) {
  const size = entry.job?.result_size ?? entry.size;
  return size && sized(size);
}

/**
 * What was given.
 * @param {Entry} entry
 * @returns {Source | null}
 */
export function original(entry) {
  const frame = frameOf(entry);
  if (!frame || !entry.size) return null;
  return {
    key: `${entry.id}/original`,
    label: t("original"),
    url: entry.job?.links.picture ?? null,
    drawn: entry.image,
    size: sized(entry.size),
    place: inset(entry, frame),
  };
}

/**
 * Where the picture given lies in the frame: all of it, but where pixels were added at its sides.
 * @param {Entry} entry
 * @param {Size} frame
 * @returns {Box}
 */
function inset(entry, frame) {
  const { left = 0, right = 0, top = 0, bottom = 0, to = null } = entry.job?.options ?? {};
  const [width, height] = entry.size ?? [frame.width, frame.height];
  if (to) return { x: (frame.width - width) >> 1, y: (frame.height - height) >> 1, width, height };
  if (left || right || top || bottom) return { x: left, y: top, width, height };
  return { x: 0, y: 0, ...frame };
}

/**
 * The names of what was made: "1", "2" …, and of several also "mean".
 * @param {Entry} entry
 * @returns {string[]}
 */
export function answers(entry) {
  const links = entry.job?.links;
  if (!links?.result) return [];
  return links.samples ? [...links.samples.map((_, k) => String(k + 1)), "mean"] : ["1"];
}

/**
 * Where a result is downloaded.
 * @param {Entry} entry
 * @param {string} answer
 * @returns {string | null}
 */
export function address(entry, answer) {
  const links = entry.job?.links;
  if (!links) return null;
  return answer === "mean" ? links.mean : (links.samples?.[Number(answer) - 1] ?? links.result);
}

/**
 * What was made, or is being made.
 * @param {Entry} entry
 * @param {string} [answer]
 * @returns {Source | null}
 */
export function result(entry, answer = entry.answer) {
  const frame = frameOf(entry);
  const job = entry.job;
  if (!frame || !job) return null;
  const walks = isActive(job) && entry.preview !== null;
  if (job.state !== "succeeded" && !walks) return null;
  const several = (job.links.samples?.length ?? 1) > 1;
  const label = walks ? t("now") : several ? named(answer) : t("result");
  const url = address(entry, answer);
  return { key: `${entry.id}/${answer}`, label, url, drawn: entry.preview, size: frame, place: { x: 0, y: 0, ...frame } };
}

/** @param {string} answer */
export const named = (answer) => (answer === "mean" ? t("mean") : t("answer", { number: answer }));

/**
 * All that an entry can be compared with: what was given, its other answers, and the results of others.
 * @param {Entry} entry
 * @param {Entry[]} all
 * @returns {Source[]}
 */
export function others(entry, all) {
  const first = original(entry);
  const frame = frameOf(entry);
  if (!first || !frame) return [];
  const found = [first];
  for (const each of [entry, ...all.filter((one) => one !== entry)]) {
    for (const answer of answers(each)) {
      const source = result(each, answer);
      if (!source || (each === entry && answer === entry.answer)) continue;
      const label = each === entry ? source.label : `${each.name} · ${summary(each)} · ${source.label}`;
      found.push({ ...source, label, place: { x: 0, y: 0, ...frame } });
    }
  }
  return found;
}

/**
 * What made a job's result, in short.
 * @param {Entry} entry
 */
export function summary(entry) {
  const job = entry.job;
  if (!job) return "";
  const [from, to] = [job.size, job.result_size ?? job.size];
  const factor = Math.round((to[0] / from[0]) * 100) / 100;
  return [factor !== 1 ? `${factor}×` : "", job.model, t("seed", { seed: job.options.seed ?? 0 })].filter(Boolean).join(" · ");
}

/**
 * What the stage shows of an entry; null where nothing can be shown.
 * @param {Entry} entry
 * @param {Entry[]} all
 * @param {boolean} alone  only what was given
 * @returns {import("./viewer.js").Scene | null}
 */
export function scene(entry, all, alone) {
  const frame = frameOf(entry);
  const given = original(entry);
  if (!frame || !given) return null;
  if (alone) {
    // what is painted on is all that is seen, not where it lies in a result that is larger
    return { frame: given.size, left: null, right: { ...given, place: { x: 0, y: 0, ...given.size } }, over: null };
  }
  const right = result(entry);
  if (!right) return { frame, left: null, right: given, over: null };
  const left = others(entry, all).find((source) => source.key === entry.beside) ?? given;
  const spread = entry.differs ? (entry.job?.links.spread ?? null) : null;
  const whole = { x: 0, y: 0, ...frame };
  const over = spread ? { key: `${entry.id}/spread`, label: "", url: spread, size: frame, place: whole } : null;
  return { frame, left, right, over };
}
