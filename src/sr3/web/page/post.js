// A picture sent to the server: once more where it does not get there, until it does or is cancelled.
import { ask, key, Refusal } from "./api.js";
import { say } from "./dom.js";

/** Milliseconds until the next try. */
const PAUSE = 2000;

/** How often a picture is sent that does not get through to a server that answers. */
const TRIES = 4;

/**
 * Send what asks for a job, again and again while the server is away or has no room.
 * @param {FormData} form
 * @param {AbortSignal} signal
 * @param {() => Promise<boolean>} answers  whether the server answers, after it did not
 * @returns {Promise<import("./api.js").Job>}
 */
export async function post(form, signal, answers) {
  const headers = { "Idempotency-Key": key() }; // the same for every try, so that it becomes one job
  for (let lost = 0; ; ) {
    let pause = PAUSE;
    try {
      return await (await ask("/v1/jobs", { method: "POST", body: form, headers, signal })).json();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refusal) {
        if (error.status !== 429) throw error;
        say(error.message);
        pause = 1000 * Math.min(error.after ?? 5, 60);
      } else if (!(await readable(form.get("picture"))) || ((await answers()) && (lost += 1) >= TRIES)) throw error;
    }
    await new Promise((done) => {
      signal.addEventListener("abort", done);
      setTimeout(done, pause);
    });
    signal.throwIfAborted();
  }
}

/**
 * Whether a file can be read: it may have been moved since it was brought.
 * @param {unknown} file
 */
export async function readable(file) {
  try {
    return file instanceof File && (await file.slice(0, 1).arrayBuffer()) !== null;
  } catch {
    return false;
  }
}
