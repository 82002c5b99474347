// The page: its parts made, and told of each other.
import { Refusal } from "./api.js";
import { at, say, warn } from "./dom.js";
import { Entries, unseen } from "./entries.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { gestures } from "./gestures.js";
import { again, intake } from "./intake.js";
import { Jobs } from "./jobs.js";
import { keep } from "./kept.js";
import { Masking } from "./masking.js";
import { Stage } from "./stage.js";
import { t, translate } from "./strings.js";
import { Viewer } from "./viewer.js";

translate();
themes();

const entries = new Entries();
const jobs = new Jobs(entries);
const viewer = new Viewer();
const masking = new Masking(viewer, () => {
  stage.show();
  form.count();
  gallery.show();
  document.getElementById("mask")?.focus();
});
const stage = new Stage({ viewer, masking, entries, jobs });
const gallery = new Gallery(entries, jobs);
const form = new Form(entries, {
  start,
  draw: () => stage.draw(),
  turn: () => {
    masking.close();
    stage.show();
    gallery.show();
  },
  unmask: () => {
    if (entries.chosen) entries.chosen.mask = null;
    stage.show();
    form.count();
    gallery.show();
    at("mask").focus();
  },
});

gestures(viewer, () => masking.tool);
intake(entries);
entries.listen((what, entry) => {
  if (what === "preview") {
    if (entry === entries.chosen && entry?.preview) {
      if (viewer.left === null) stage.show();
      viewer.preview(entry.preview);
    }
    return;
  }
  if (what === "chosen") {
    masking.close();
    viewer.showOriginal(false);
    stage.show();
    gallery.mark();
  } else if (what === "list") gallery.show();
  else if (entry) {
    gallery.update(entry);
    if (entry === entries.chosen) stage.show();
    else if (entries.chosen) stage.choose(entries.chosen);
  }
  form.count();
  arrange();
});

/** The welcome where there is no picture yet, the desk where there is one. */
function arrange() {
  const none = !entries.list.length;
  at("welcome").hidden = !none;
  at("desk").hidden = none;
}

/** Do what the form says to all that is not sent yet, or again to what is looked at. */
async function start() {
  masking.close();
  const { task } = form;
  const wish = form.asked;
  if (!task) return;
  try {
    const { chosen } = entries;
    let list = [...entries.drafts];
    if (!list.length && chosen?.job) {
      list = [await again(entries, chosen)];
      entries.add(list);
      entries.choose(list[0] ?? null);
    }
    const bare = list.find((entry) => entries.needsMask && !entries.mask(entry));
    if (bare) {
      const { name } = bare;
      entries.choose(bare);
      warn(unseen(bare) ? t("mask.unseen", { name }) : t("mask.first", { name }));
      return;
    }
    warn(null);
    say(t("started"));
    await jobs.sendAll(list, wish);
  } catch (error) {
    warn(error instanceof Refusal ? error.message : t("unanswered"));
  }
}

/** Fill the form in, as soon as the server says with what. */
async function fill() {
  await form.load().catch(() => setTimeout(fill, 5000));
}

/** Light, dark, or as the system has it. */
function themes() {
  const root = document.documentElement;
  const button = at("theme");
  const order = ["auto", "light", "dark"];
  const show = () => (button.textContent = t(`theme.${root.dataset.theme}`));
  button.addEventListener("click", () => {
    root.dataset.theme = order[(order.indexOf(root.dataset.theme ?? "auto") + 1) % order.length];
    keep("localStorage", "sr3.theme", root.dataset.theme ?? "auto");
    show();
    say(button.textContent ?? "");
  });
  show();
}

const alone = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
at("where").textContent = t(alone ? "where.here" : "where.there", { host: location.host });
await Promise.all([fill(), jobs.refresh()]);
arrange();
document.body.dataset.ready = "true";
