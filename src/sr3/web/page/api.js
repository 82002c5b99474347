// The server's interface: what it sends, and how it is asked.
import { keep, kept } from "./kept.js";

/**
 * @typedef {{name: string, type: "integer" | "number" | "boolean" | "choice" | "text", default: any, says: string,
 *   choices: string[] | null, minimum: number | null, maximum: number | null}} Option
 * @typedef {{name: string, says: string, needs: string[], takes: string[], options: Option[],
 *   models: string[]}} Task
 * @typedef {{name: string, task: string, qualities: string[], default: boolean, says: string, terms: string,
 *   factor: number | null, varies: boolean, sides: [number, number] | null}} Model
 * @typedef {{done: number, total: number, seconds_left: number | null}} Progress
 * @typedef {{self: string, events: string, picture: string, thumbnail: string, preview: string | null,
 *   result: string | null, result_thumbnail: string | null, samples: string[] | null, mean: string | null,
 *   spread: string | null}} Links
 * @typedef {{id: string, state: "queued" | "running" | "succeeded" | "failed" | "canceled", task: string,
 *   model: string, options: Record<string, any>, name: string, size: [number, number],
 *   result_size: [number, number] | null, created: number, started: number | null, finished: number | null,
 *   progress: Progress, position: number | null, error: {detail: string} | null, links: Links}} Job
 */

/** What the server refused, in its own sentence. `after`: seconds after which to ask again, where it says so. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {number | null} after
   */
  constructor(status, detail, after) {
    super(detail);
    this.status = status;
    this.after = after;
  }
}

const address = new URL(location.href);
const brought = address.searchParams.get("token");
if (brought !== null && keep("sessionStorage", "sr3.token", brought)) {
  // it is kept for this tab, and leaves the address, which people copy
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}
const token = brought ?? kept("sessionStorage", "sr3.token");

/**
 * An address that an <img>, an <a> or an EventSource can use: these can send no header, so the token stands in it.
 * @param {string} path
 * @param {Record<string, string | number>} [query]
 */
export function link(path, query = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
  if (token !== null) url.searchParams.set("token", token);
  return url.pathname + url.search;
}

/**
 * Ask the server; a Refusal where it will not, a TypeError where it does not answer.
 * @param {string} path
 * @param {RequestInit} [how]
 */
export async function ask(path, how = {}) {
  const headers = new Headers(how.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  const reply = await fetch(path, { ...how, headers });
  if (reply.ok) return reply;
  const problem = await reply.json().catch(() => ({}));
  const after = Number(reply.headers.get("Retry-After")) || null;
  throw new Refusal(reply.status, problem.detail ?? `${reply.status} ${reply.statusText}`, after);
}

/**
 * What a path holds, as JSON.
 * @param {string} path
 */
export const told = async (path) => (await ask(path)).json();

/** A key that makes a repeated request one job. */
export function key() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
}
