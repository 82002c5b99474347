"use strict";
const settings = JSON.parse(document.getElementById("settings").textContent);
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
const at = id => document.getElementById(id);
const wait = ms => new Promise(done => setTimeout(done, ms));
const frame = () => new Promise(done => requestAnimationFrame(done));
const figures = Object.fromEntries(["left", "given", "right"].map(p => [p, document.querySelector("figure." + p)]));
const image = place => figures[place].firstElementChild;
// per tab, so that a reload goes on and another tab may be another person
let rater = settings.rater || sessionStorage.getItem("rater") || "";
let choose = null;

function show(section) {
  for (const id of ["start", "trial", "end"]) at(id).hidden = id !== section;
  document.querySelector("header").hidden = section !== "trial";
}

/* Ask until the server answers: it may be restarting, or the network gone for a moment. */
async function send(path, body) {
  for (let pause = 500; ; pause = Math.min(8000, 2 * pause)) {
    let problem = "The server does not answer. Trying again …";
    try {
      const reply = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"},
                                       body: JSON.stringify({rater, ...body})});
      const told = await reply.json();
      if (reply.ok) { at("note").textContent = ""; return told; }
      problem = told.detail;
      if (reply.status < 500) { at("note").textContent = problem; throw new Refused(problem); }
      problem += ". Trying again …";
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    at("note").textContent = problem;
    await wait(pause);
  }
}
class Refused extends Error {}

/* Whether all pictures could be loaded; where not, the trial is asked for again, as the server may have restarted. */
async function load(pictures) {
  try {
    for (const place in figures) {
      figures[place].hidden = !pictures[place];
      image(place).src = pictures[place] || BLANK;
    }
    // decoded, not only fetched: the clock must not start before the pictures can be drawn
    await Promise.all(Object.keys(figures).map(place => image(place).decode()));
    at("note").textContent = "";
    return true;
  } catch {
    at("note").textContent = "A picture could not be loaded. Trying again …";
    await wait(1000);
    return false;
  }
}

/* All pictures of a trial in boxes of one size: the photograph's, times a whole number of the screen's pixels. */
function fit() {
  const stage = at("stage"), natural = image("left"), gap = 12, ratio = devicePixelRatio || 1;
  const wide = natural.naturalWidth, high = natural.naturalHeight;
  if (!wide || natural.src === BLANK) return;
  const three = !figures.given.hidden;
  const room = (columns, rows) => Math.min((stage.clientWidth - gap * (columns - 1)) / columns / wide,
                                           (stage.clientHeight - gap * (rows - 1)) / rows / high);
  const tall = three && room(2, 2) > room(3, 1);
  const most = (tall ? room(2, 2) : room(three ? 3 : 2, 1)) * ratio;
  // more than about 480 a side helps nobody to compare
  let times = settings.enlarge || Math.max(1, Math.floor(480 * ratio / Math.max(wide, high)));
  times = Math.min(times, most >= 1 ? Math.floor(most) : most);
  stage.classList.toggle("tall", tall);
  stage.style.setProperty("--columns", tall || !three ? 2 : 3);
  stage.style.setProperty("--width", wide * times / ratio + "px");
  stage.style.setProperty("--height", high * times / ratio + "px");
  stage.style.setProperty("--rendering", times >= 1 ? "pixelated" : "auto");
}

function visible() {
  return new Promise(done => {
    const look = () => document.hidden || (document.removeEventListener("visibilitychange", look), done());
    document.addEventListener("visibilitychange", look);
    look();
  });
}

function chosen() {
  return new Promise(done => { choose = side => { choose = null; done(side); }; });
}

function enable(on) {
  at("left").disabled = at("right").disabled = !on;
}

async function run() {
  let told = await send("next", {});
  while (told.trial) {
    show("trial");
    enable(false);
    at("question").textContent = "Look …";
    document.querySelector("progress").value = told.done / told.total;
    at("count").textContent = (told.done + 1) + " of " + told.total;
    if (!await load(told.pictures)) { told = await send("next", {}); continue; }
    fit();
    await wait(500);
    await visible();
    fit();
    at("stage").classList.add("seen");
    await frame();
    const began = performance.now();
    await wait(1000 * settings.seconds);
    at("stage").classList.remove("seen");
    for (const place in figures) image(place).src = BLANK;
    at("question").textContent = settings.questions["given" in told.pictures ? "shown" : "hidden"];
    const answer = chosen();
    enable(true);
    const side = await answer;
    enable(false);
    at("question").textContent = "";
    told = await send("answer", {trial: told.trial, answer: side,
                                  milliseconds: Math.round(performance.now() - began)});
  }
  at("answers").textContent = told.total;
  at("another").hidden = !!settings.rater;
  show("end");
}

async function go() {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    first();
  }
}

function first() {
  const unit = settings.seconds === 1 ? " second" : " seconds";
  for (const place of document.querySelectorAll(".seconds")) place.textContent = settings.seconds + unit;
  at("about-given").hidden = at("asked").hidden = !settings.tasks.includes("shown");
  at("when").textContent = settings.tasks.length > 1 ? "In half of the questions" : "In each question";
  at("same").hidden = at("who").hidden = at("name").disabled = !!settings.rater;
  at("name").value = rater;
  show("start");
  // on a touch screen this would raise the keyboard over the text
  if (!settings.rater && matchMedia("(hover: hover)").matches) at("name").focus();
}

at("begin").addEventListener("submit", event => {
  event.preventDefault();
  at("note").textContent = "";
  rater = settings.rater || at("name").value;
  sessionStorage.setItem("rater", rater);
  go();
});
at("another").addEventListener("click", () => {
  rater = "";
  sessionStorage.removeItem("rater");
  first();
});
for (const side of ["left", "right"]) at(side).addEventListener("click", () => choose && choose(side));
addEventListener("keydown", event => {
  const side = {ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right"}[event.key];
  if (!side || event.repeat || event.ctrlKey || event.altKey || event.metaKey || !choose) return;
  event.preventDefault();
  choose(side);
});
addEventListener("resize", fit);
document.addEventListener("contextmenu", event => { if (event.target.closest("#stage")) event.preventDefault(); });
first();
