// The words of the page in the browser's language.
import en from "./en.js";
import zh from "./zh.js";

/** The language of the page, as `lang` has it. */
export const language = /^zh\b/i.test(navigator.language) ? "zh-CN" : "en";

/** @type {Record<string, string>} */
const words = language === "zh-CN" ? zh : en;

/**
 * Words by their key, with {name} replaced by values; `other`, where given, for a key that there is none of.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @param {string} [other]
 */
export function t(key, values = {}, other = key) {
  return (words[key] ?? other).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * A number of pictures in words.
 * @param {number} count
 */
export const pictures = (count) => t(count === 1 ? "pictures.one" : "pictures.many", { count });

/**
 * Seconds as people say them: rounded up, so that the promise is kept.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 90) return t("seconds", { count: Math.max(1, Math.ceil(seconds)) });
  if (seconds < 5400) return t("minutes", { count: Math.ceil(seconds / 60) });
  return t("hours", { count: Math.ceil(seconds / 360) / 10 });
}

/** Put the words into all elements that name them by data-t (text) or data-label (for screen readers). */
export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-t]")) {
    element.textContent = t(/** @type {HTMLElement} */ (element).dataset.t ?? "");
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(/** @type {HTMLElement} */ (element).dataset.label ?? ""));
  }
}
