// Small helpers for elements.

/**
 * The element of an id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (found);
}

/**
 * A new element. Properties that begin with "on" are listeners, those with "-" and "role" attributes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [has]
 * @param {...(Node | string | null)} inside
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, has = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(has)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...inside.filter((each) => each !== null));
  return element;
}

let count = 0;
/** A new id. */
export const fresh = () => `n${(count += 1)}`;

/**
 * Say something to those who do not see the page.
 * @param {string} words
 */
export function say(words) {
  at("status").textContent = words;
}

/**
 * Show what went wrong above everything; null takes it away.
 * @param {string | null} words
 */
export function warn(words) {
  const notice = at("notice");
  notice.hidden = words === null;
  if (notice.textContent !== (words ?? "")) notice.textContent = words; // the same is not read out again
}

/**
 * A button that stays pressed.
 * @param {HTMLElement} button
 * @param {boolean} pressed
 */
export const press = (button, pressed) => button.setAttribute("aria-pressed", String(pressed));

/**
 * Whether keys that are typed belong to this element.
 * @param {EventTarget | null} target
 */
export const types = (target) =>
  target instanceof HTMLElement && target.matches("input:not([type=radio], [type=checkbox]), select, textarea");
