// What the browser keeps until the next visit. Where it keeps nothing, as some do when told to, all else goes on.

/** @typedef {"localStorage" | "sessionStorage"} Where  for all tabs and visits, or for this tab */

/**
 * What was kept under a name; null where nothing was, or nothing can be.
 * @param {Where} where
 * @param {string} name
 */
export function kept(where, name) {
  try {
    return window[where].getItem(name);
  } catch {
    return null;
  }
}

/**
 * Keep it; whether that could be done.
 * @param {Where} where
 * @param {string} name
 * @param {string} what
 */
export function keep(where, name, what) {
  try {
    window[where].setItem(name, what);
    return true;
  } catch {
    return false;
  }
}
