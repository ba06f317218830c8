// The review page: from what the server says of a case to panes, keys, drafts, and the review that is sent.
"use strict";

import { Mask, tidy } from "./marks.js";
import { Pixels, bytes } from "./pixels.js";
import { Viewer } from "./viewer.js";

const find = (what, inside = document) => inside.querySelector(what);
const all = (what) => [...document.querySelectorAll(what)];
const about = JSON.parse(find("#about").textContent);
const { texts, urls } = about;
const csrf = find(".review").dataset.csrf;
const begun = performance.now();
const remembered = JSON.parse(localStorage.getItem("medloop.view") ?? "{}");
const keptHere = `medloop.draft.${about.urls.here.split("?")[0]}`;

const viewer = new Viewer(find("#pane-now"), { texts, seen: (what, tool) => changed(what, tool) });
const prior = about.prior ? new Viewer(find("#pane-prior"), { texts, seen: (what) => follow(what) }) : null;
const answer = { value: about.proposal ? about.proposal.label : null, several: {}, changed: { mask: false, boxes: false }, reason: "" };
let [sending, drafting, image] = [false, 0, 0];

// --- what is remembered from case to case ---------------------------------------------------------------------------------------

function remember(values) {
  Object.assign(remembered, values);
  localStorage.setItem("medloop.view", JSON.stringify(remembered));
}

// A window is kept in Hounsfield units for CT; elsewhere relative to the image's own, for units differ between images.
function keptWindow(pixels) {
  const kept = remembered.windows?.[about.modality ?? ""];
  if (!kept) return null;
  if (pixels.modality === "CT") return kept;
  const [centre, width] = pixels.window;
  return [centre + kept[0] * width, kept[1] * width];
}

function keepWindow() {
  const { pixels, window } = viewer;
  const [centre, width] = pixels.window;
  const kept = pixels.modality === "CT" ? window : [(window[0] - centre) / width, window[1] / width];
  remember({ windows: { ...remembered.windows, [about.modality ?? ""]: kept } });
}

// --- images -----------------------------------------------------------------------------------------------------------------------

async function open(which) {
  image = which;
  const [pixels, mask] = await Promise.all([Pixels.open(about.images[which].url), which === 0 ? outline() : null]);
  viewer.zoom = remembered.zoom ?? 1;
  if (which === 0 && mask) {
    viewer.mask = new Mask(pixels.slices, pixels.height, pixels.width, mask);
    if (mask.length !== pixels.slices * pixels.height * pixels.width) viewer.mask = null;
  } else viewer.mask = null;
  viewer.boxes = which === 0 ? about.boxes.map((each) => ({ ...each })) : [];
  viewer.boxKinds = about.boxClasses;
  if (which === 0) restore(pixels);
  await viewer.open(pixels, keptWindow(pixels));
  const focus = viewer.mask?.fullest() ?? (viewer.boxes[0] ? Math.floor((viewer.boxes[0].z0 + viewer.boxes[0].z1) / 2) : null);
  if (focus !== null) viewer.go(focus);
  presets(pixels);
  document.documentElement.dataset.shown = about.case;
}

async function outline() {
  return about.mask ? bytes(about.mask.url) : null;
}

// Computed by the server when it is first asked for, which takes some seconds.
async function heat() {
  if (!about.heat || image !== 0 || viewer.heat) return;
  toast([texts.heat_wait]);
  const got = await bytes(about.heat.url).catch(() => null);
  find("#toast").hidden = true;
  if (got) viewer.heat = got;
  else {
    toast([texts.heat_none]);
    viewer.show.heat = false;
    find("[data-show=heat]").disabled = true;
    pressed("[data-show=heat]", false);
  }
  viewer.draw();
}

async function openPrior(shown) {
  if (!prior) return;
  find("#pane-prior").hidden = !shown;
  pressed("[data-do=prior]", shown);
  remember({ prior: shown });
  if (shown && !prior.pixels && about.prior.images.length) {
    const pixels = await Pixels.open(about.prior.images[0].url);
    await prior.open(pixels, keptWindow(pixels));
    follow("slice", viewer, prior);
  }
}

// The other pane goes along: the same height in the body, by the share of slices.
function follow(what, from = prior, to = viewer) {
  if (what !== "slice" || !from?.pixels || !to?.pixels) return;
  const place = from.slice / Math.max(1, from.pixels.slices - 1);
  const slice = Math.round(place * (to.pixels.slices - 1));
  if (to.slice !== slice) {
    to.slice = slice;
    to.pixels.load(slice, to.channel, to.time).then(() => to.draw(), () => to.fail());
    to.draw();
  }
}

const PRESETS = { soft: [40, 400], lung: [-600, 1500], bone: [400, 1800], brain: [40, 80], liver: [90, 150] };

function presets(pixels) {
  const choice = find("#preset");
  choice.hidden = pixels.modality !== "CT";
  if (choice.hidden || choice.options.length) return;
  choice.add(new Option(texts.preset, ""));
  for (const name of Object.keys(PRESETS)) choice.add(new Option(texts[`preset.${name}`], name));
}

function changed(what, tool) {
  if (what === "window") {
    keepWindow();
    if (prior?.pixels?.modality === "CT" && viewer.pixels.modality === "CT") (prior.window = viewer.window), prior.draw();
  }
  if (what === "zoom") remember({ zoom: viewer.zoom });
  if (what === "slice" && prior && !find("#pane-prior").hidden) follow("slice", viewer, prior);
  if (what === "marks") {
    if (tool === "box") answer.changed.boxes = true;
    if (tool === "brush" || tool === "erase") answer.changed.mask = true;
    state();
    draft();
  }
}

// --- the answer -------------------------------------------------------------------------------------------------------------------

function value() {
  if (about.kind === "number") return find("#number").value.trim().replace(",", ".");
  if (about.kind === "several") return answer.several;
  return answer.value;
}

function same() {
  if (!about.proposal || answer.changed.mask || answer.changed.boxes) return false;
  if (about.kind === "several") return (about.proposal.label.split("|").filter(Boolean).sort().join() === Object.keys(answer.several).filter((each) => answer.several[each]).sort().join());
  return String(value()) === String(about.proposal.label);
}

function ready() {
  const said = value();
  if (about.kind === "number") return said !== "" && Number.isFinite(Number(said));
  if (about.kind === "several") return about.classes.length > 0 && (!about.hidden || Object.keys(said).length > 0);
  return said !== null && said !== "" && (about.classes.length === 0 || about.classes.includes(said));
}

function state() {
  for (const each of all("[data-class]")) {
    const on = about.kind === "several" ? Boolean(answer.several[each.dataset.class]) : answer.value === each.dataset.class;
    each.setAttribute("aria-pressed", String(on));
    each.disabled = !about.open;
  }
  const button = find("#confirm");
  const named = about.kind === "several" ? Object.keys(answer.several).filter((each) => answer.several[each]).join(", ") || texts.none : value();
  find("[data-says]", button).textContent = ready() ? `${same() ? texts.confirm : texts.correct}: ${named}` : texts.choose;
  button.disabled = !ready() || sending || !about.open;
}

function choose(name, at_once) {
  if (!about.open) return;
  if (about.kind === "several") answer.several[name] = !answer.several[name];
  else answer.value = name;
  state();
  if (at_once && about.kind === "one") commit();
  else draft();
}

async function commit(action = null, reason = "") {
  if (sending || !about.open || (!action && !ready())) return;
  sending = true;
  state();
  const said = action ? null : value();
  const content = {
    action: action ?? (same() ? "accept" : "correct"),
    value: action ? null : about.kind === "number" ? Number(said) : said,
    reason,
    seen: about.seen,
    proposal: about.proposal?.id ?? null,
    seconds: (performance.now() - begun) / 1000,
    mask: !action && answer.changed.mask && viewer.mask ? viewer.mask.runs() : null,
    boxes: !action && answer.changed.boxes ? viewer.boxes.map(plainBox) : null,
  };
  try {
    const got = await send("POST", urls.review, content);
    if (got.status === 201) return done(await got.json(), content);
    await refused(got);
  } catch {
    problem(texts.offline);
  }
  sending = false;
  state();
}

function plainBox({ z0, y0, x0, z1, y1, x1, kind, score }) {
  return { ...tidy({ x0, y0, x1, y1 }), z0, z1, kind: kind ?? 0, score: score ?? null };
}

function done(told, content) {
  localStorage.removeItem(keptHere);
  clearTimeout(drafting);
  const words = [`${about.name}: ${content.value === null ? texts[`action.${content.action}`] : told.said}`];
  if (told.proposal) words.push(`${texts.model_said} ${told.proposal.label}${told.proposal.confidence == null ? "" : ` (${Math.round(100 * told.proposal.confidence)} %)`}`);
  sessionStorage.setItem("medloop.said", JSON.stringify(words));
  location.assign(told.next);
}

// What was begun is kept before the page is left: for log-in, and where somebody else has read the case.
async function refused(got) {
  keep();
  if (got.status === 401) return location.assign(`${urls.login}?expired=1&next=${encodeURIComponent(urls.here)}`);
  const told = (await got.json().catch(() => ({}))).error ?? {};
  if (told.code === "bad-csrf" || told.code === "proposal-renewed") return location.reload();
  if (told.code === "already-read") {
    await send("PUT", urls.draft, begunContent()).catch(() => null);
    return location.reload();
  }
  problem([told.got, told.fix].filter(Boolean).join(" ") || texts.failed);
}

function send(method, address, content) {
  const headers = { "X-CSRF-Token": csrf, Accept: "application/json" };
  if (content !== undefined) headers["Content-Type"] = "application/json";
  return fetch(address, { method, headers, body: content === undefined ? undefined : JSON.stringify(content) });
}

function problem(words) {
  const place = find("#problem");
  place.textContent = words;
  place.hidden = !words;
}

// --- drafts -----------------------------------------------------------------------------------------------------------------------

function begunContent() {
  return {
    value: answer.value,
    several: answer.several,
    number: find("#number")?.value ?? null,
    reason: find("#reason").value,
    lines: viewer.lines,
    boxes: answer.changed.boxes ? viewer.boxes.map(plainBox) : null,
    mask: answer.changed.mask && viewer.mask ? viewer.mask.runs() : null,
    at: Date.now(),
  };
}

function keep() {
  try {
    localStorage.setItem(keptHere, JSON.stringify(begunContent()));
  } catch {
    // The browser's place is full: the server keeps it.
  }
}

function draft() {
  clearTimeout(drafting);
  drafting = setTimeout(async () => {
    keep();
    const got = await send("PUT", urls.draft, begunContent()).catch(() => null);
    if (got?.status === 401) problem(texts.expired);
  }, 600);
}

function restore(pixels) {
  const here = JSON.parse(localStorage.getItem(keptHere) ?? "null");
  const kept = here && (!about.draft || here.at > (about.draft.at ?? 0)) ? here : about.draft;
  if (!kept) return;
  if (kept.value != null && (about.classes.length === 0 || about.classes.includes(kept.value))) answer.value = kept.value;
  answer.several = kept.several ?? {};
  if (kept.number != null && find("#number")) find("#number").value = kept.number;
  find("#reason").value = kept.reason ?? "";
  viewer.lines = kept.lines ?? [];
  if (kept.boxes) [viewer.boxes, answer.changed.boxes] = [kept.boxes, true];
  if (kept.mask && String(kept.mask.shape) === String([pixels.slices, pixels.height, pixels.width]))
    [viewer.mask, answer.changed.mask] = [Mask.fromRuns(kept.mask), true];
  if (kept.boxes || kept.mask || kept.lines?.length || kept.reason) toast([texts.restored]);
}

// --- tools and keys -----------------------------------------------------------------------------------------------------------------

function pressed(what, on) {
  find(what)?.setAttribute("aria-pressed", String(on));
}

function take(tool) {
  if (["box", "brush", "erase"].includes(tool) && !about.open) return;
  viewer.tool = tool;
  if (prior) prior.tool = tool === "window" || tool === "pan" || tool === "measure" ? tool : "window";
  viewer.editable = tool === "box";
  for (const each of all("[data-tool]")) each.setAttribute("aria-pressed", String(each.dataset.tool === tool));
  find("[data-drawing]").hidden = !["box", "brush", "erase"].includes(tool);
  for (const each of all("[data-brush]")) each.hidden = tool === "box";
  const choice = find("#mark-class");
  const names = tool === "box" ? about.boxClasses : about.maskClasses;
  choice.replaceChildren(...names.map((name, index) => new Option(name, index + 1)));
  choice.hidden = names.length < 1;
  viewer.kind = Math.min(viewer.kind, Math.max(1, names.length));
  choice.value = viewer.kind;
  viewer.canvas.dataset.tool = tool;
  viewer.draw();
}

function toggle(what) {
  viewer.show[what] = !viewer.show[what];
  if (what === "outline") viewer.show.boxes = viewer.show.outline;
  pressed(`[data-show=${what}]`, viewer.show[what]);
  remember({ show: viewer.show });
  if (what === "heat" && viewer.show.heat) heat();
  viewer.draw();
}

const DO = {
  back() {
    const slice = viewer.mask?.back();
    if (slice != null) viewer.go(slice), draft();
    else if (viewer.lines.length) viewer.lines.pop(), viewer.draw(), draft();
  },
  clear() {
    if (viewer.tool === "box") [viewer.boxes, viewer.chosen, answer.changed.boxes] = [[], -1, true];
    else if (viewer.mask) {
      viewer.mask.begin(viewer.slice);
      viewer.mask.slice(viewer.slice).fill(0);
      viewer.mask.edges.delete(viewer.slice);
      answer.changed.mask = true;
    }
    viewer.draw();
    state();
    draft();
  },
  delete() {
    if (viewer.tool === "box" && viewer.chosen >= 0) {
      viewer.boxes.splice(viewer.chosen, 1);
      [viewer.chosen, answer.changed.boxes] = [-1, true];
    } else if (viewer.lines.length) viewer.lines.pop();
    else return;
    viewer.draw();
    state();
    draft();
  },
  prior: () => openPrior(find("#pane-prior").hidden).catch(() => prior.fail()),
  reset: () => (viewer.reset(), prior?.pixels && prior.reset()),
  help: () => find("#help").showModal(),
  unsure: () => about.open && (find("#unsure").showModal(), find("#unsure input[name=why]:checked").focus()),
  again() {
    about.open = true;
    find("#answer").hidden = false;
    state();
  },
  async undo() {
    const got = await send("POST", urls.undo).catch(() => null);
    if (got?.ok) location.assign((await got.json()).page);
    else if (got) await refused(got);
    else problem(texts.offline);
  },
  preset() {
    const choice = find("#preset");
    if (choice.hidden) return;
    choice.selectedIndex = (choice.selectedIndex + 1) % choice.options.length;
    choice.dispatchEvent(new Event("change"));
  },
};

const TOOL_KEYS = { w: "window", p: "pan", m: "measure", x: "box", b: "brush", e: "erase" };
const KEYS = {
  u: DO.unsure,
  n: () => find("[data-skip]").click(),
  z: DO.undo,
  l: () => location.assign(urls.list),
  o: () => toggle("outline"),
  h: () => about.heat && toggle("heat"),
  v: () => prior && DO.prior(),
  c: DO.preset,
  r: DO.reset,
  "?": DO.help,
  arrowup: () => viewer.go(viewer.slice - 1),
  arrowdown: () => viewer.go(viewer.slice + 1),
  pageup: () => viewer.go(viewer.slice - 10),
  pagedown: () => viewer.go(viewer.slice + 10),
  home: () => viewer.go(0),
  end: () => viewer.go(viewer.pixels.slices - 1),
  "+": () => viewer.zoomBy(1.25),
  "=": () => viewer.zoomBy(1.25),
  "-": () => viewer.zoomBy(0.8),
  "[": () => brush(viewer.brush - 1),
  "]": () => brush(viewer.brush + 1),
  delete: DO.delete,
  backspace: DO.delete,
  escape: () => take("window"),
};

function brush(size) {
  viewer.brush = Math.max(1, Math.min(40, size));
  find("#brush-size").value = viewer.brush;
}

function key(event) {
  if (find("dialog[open]")) return inDialog(event);
  const typing = event.target.closest("input:not([type=range]), select, textarea");
  if (event.key === "Enter" && !event.target.closest("a, button:not(#confirm), select, textarea")) {
    event.preventDefault();
    if (about.open) commit();
    else find("[data-start]")?.click();
    return;
  }
  if (typing || event.altKey || event.metaKey) return;
  const name = event.key.toLowerCase();
  if (event.ctrlKey) {
    if (name === "z") event.preventDefault(), DO.back();
    return;
  }
  if (/^[1-9]$/.test(name) && about.kind !== "number") {
    const chosen = about.classes[Number(name) - 1];
    if (chosen !== undefined) choose(chosen, true);
  } else if (TOOL_KEYS[name]) take(TOOL_KEYS[name]);
  else if (KEYS[name] && viewer.pixels) KEYS[name]();
  else if (KEYS[name] && !name.startsWith("arrow")) KEYS[name]();
  else return;
  event.preventDefault();
}

function inDialog(event) {
  const dialog = find("dialog[open]");
  if (dialog.id !== "unsure" || event.target.id === "reason") {
    if (event.key === "Enter" && event.ctrlKey) find("button[value=send]", dialog)?.click();
    return;
  }
  const options = all("#unsure input[name=why]");
  if (/^[1-9]$/.test(event.key) && options[event.key - 1]) {
    options[event.key - 1].checked = true;
    event.preventDefault();
    (event.key === "1" ? find("#reason") : find("button[value=send]", dialog)).focus();
  } else if (event.key.length === 1 && event.key !== " ") find("#reason").focus();
}

function unsure(event) {
  if (event.submitter?.value !== "send") return;
  const why = find("#unsure input[name=why]:checked").value;
  const words = find("#reason").value.trim();
  const note = find("#unsure .problem");
  if (why === "unsure" && !words) {
    event.preventDefault();
    note.textContent = texts.say_why;
    note.hidden = false;
    return find("#reason").focus();
  }
  if (why === "unsure") commit("unsure", words);
  else commit("reject", words ? `${why}: ${words}` : why);
}

function toast(words) {
  const place = find("#toast");
  place.replaceChildren(...words.map((each) => Object.assign(document.createElement("p"), { textContent: each })));
  place.hidden = false;
  setTimeout(() => (place.hidden = true), 6000);
}

// The next case is fetched while this one is read: its decoded pixels on the server, its slices in the browser.
async function ahead() {
  const got = await fetch(urls.ahead, { headers: { Accept: "application/json" } });
  if (!got.ok) return;
  const { images, marks } = await got.json();
  for (const address of images) {
    const pixels = await Pixels.open(address);
    await pixels.load(Math.floor(pixels.slices / 2));
  }
  for (const address of marks) await bytes(address);
}

function wire() {
  for (const each of all("[data-tool]")) each.addEventListener("click", () => take(each.dataset.tool));
  for (const each of all("[data-show]")) each.addEventListener("click", () => toggle(each.dataset.show));
  for (const each of all("[data-do]")) each.addEventListener("click", () => DO[each.dataset.do]());
  for (const each of all("[data-class]")) each.addEventListener("click", () => choose(each.dataset.class, false));
  find("#mark-class").addEventListener("change", (event) => (viewer.kind = Number(event.target.value)));
  find("#brush-size").addEventListener("input", (event) => brush(Number(event.target.value)));
  find("#preset").addEventListener("change", (event) => {
    const window = PRESETS[event.target.value] ?? viewer.pixels.window;
    viewer.setWindow(window);
    if (prior?.pixels) prior.setWindow(window);
  });
  find("#image").addEventListener("change", (event) => open(Number(event.target.value)).catch(() => viewer.fail()));
  find("#number")?.addEventListener("input", () => (state(), draft()));
  find("#reason").addEventListener("input", draft);
  find("#unsure form").addEventListener("submit", unsure);
  find("#answer").addEventListener("submit", (event) => (event.preventDefault(), commit()));
  addEventListener("keydown", key);
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

function begin() {
  if (about.kind === "several" && about.proposal) for (const each of about.proposal.label.split("|").filter(Boolean)) answer.several[each] = true;
  if (about.proposal?.decision === "unlike" && about.kind === "one") answer.value = null;
  Object.assign(viewer.show, remembered.show ?? {});
  pressed("[data-show=outline]", viewer.show.outline);
  find("[data-show=heat]").hidden = !about.heat;
  pressed("[data-show=heat]", viewer.show.heat);
  const choice = find("#image");
  about.images.forEach((each, index) => choice.add(new Option(each.name, index)));
  choice.hidden = about.images.length < 2;
  if (!about.open) find("#answer").hidden = Boolean(find("#already"));
  wire();
  take("window");
  const said = sessionStorage.getItem("medloop.said");
  if (said) sessionStorage.removeItem("medloop.said"), toast(JSON.parse(said));
}

begin();
open(0)
  .catch(() => viewer.fail())
  .then(() => {
    state();
    if (viewer.show.heat) heat();
    if (remembered.prior && prior) openPrior(true).catch(() => prior.fail());
    ahead().catch(() => null);
  });
state();
