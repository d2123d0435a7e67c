// Puts the page together: what the server tells goes to who shows it.

import { Announcer } from "./announce.js";
import { Detail } from "./detail.js";
import { $, make, setText } from "./dom.js";
import { Easel } from "./easel.js";
import { Figures } from "./figures.js";
import { Filter } from "./filter.js";
import { count, percent, time } from "./format.js";
import { Mine } from "./mine.js";
import { Stream } from "./stream.js";
import { Wall } from "./wall.js";

const FRAME_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 250;
const MAX_SEEN = 1000;
const MAX_DEAD = 8;

const announcer = new Announcer();
const detail = new Detail();
const figures = new Figures();
const open = (prediction) => detail.open(prediction);
const filter = new Filter(refilter);
const live = new Wall($("live"), 5, "Nothing has come yet: is a classifier running, and does anybody ask?", filter, open);
const wrong = new Wall($("wrong"), 3, "None so far.", filter, open);
const unsure = new Wall($("unsure"), 3, "None so far.", filter, open);

let mine = null;
let shownInput = null; // what the model takes for which this page was made
let unsureBelow = 0;
let isPaused = false;
let missed = 0;
let kafkaFault = null;
const seen = new Set(); // ids of the newest predictions

function onHello(hello) {
  unsureBelow = hello.unsure_below;
  const { model } = hello;
  const input = JSON.stringify([model.shape, model.dtype, model.draw]);
  if (shownInput !== null && shownInput !== input) location.reload(); // what was drawn is of another size
  shownInput = input;
  filter.offerLabels(model.labels);
  setText($("unsure-note"), `the newest below ${percent(unsureBelow, 0)} confidence`);
  setText($("draw-size"), `${model.shape.join(" × ")} ${model.dtype}`);
  $("draw-none").hidden = model.draw !== null;
  $("draw").hidden = model.draw === null;
  if (model.draw && !mine) mine = new Mine(new Easel(model.draw), (sentence) => announcer.say(sentence));
}

function onPrediction(prediction) {
  if (seen.has(prediction.id)) return; // told once more after the connection was lost
  remember(prediction.id);
  prediction.isMine = mine?.has(prediction.id) ?? false;
  prediction.isUnsure = prediction.confidence < unsureBelow;
  if (prediction.isMine) mine.answered(prediction);
  if (isPaused) {
    missed += 1;
    return;
  }
  live.add(prediction);
  if (prediction.right === false) wrong.add(prediction);
  if (prediction.isUnsure) unsure.add(prediction);
}

function remember(id) {
  seen.add(id);
  if (seen.size > MAX_SEEN) seen.delete(seen.values().next().value);
}

function onDead(letter) {
  mine?.rejected(letter);
  if (isPaused) {
    missed += 1;
    return;
  }
  const key = letter.place;
  const table = $("dead");
  if ([...table.children].some((row) => row.dataset.place === key)) return;
  const cells = [time(letter.at), letter.reason, letter.device || "–", letter.origin].map((text) => make("td", "", text));
  const row = make("tr", "", ...cells, make("td", "number", count(letter.bytes)));
  row.dataset.place = key;
  table.querySelector(".nothing")?.remove();
  table.prepend(row);
  while (table.children.length > MAX_DEAD) table.lastChild.remove();
}

function onFigures(told) {
  kafkaFault = told.fault;
  showNotice();
  announcer.summary(told);
  if (isPaused) return;
  figures.show(told);
  filter.offerLabels(told.classes.map(([name]) => name));
  filter.offerDevices(told.devices.map(([name]) => name));
}

let state = "connecting";
let sentence = "connecting";

function onState(newState, newSentence) {
  if (newState === state && newSentence === sentence) return;
  [state, sentence] = [newState, newSentence];
  showNotice();
}

function showNotice() {
  const notice = $("notice");
  const isAway = state === "away";
  const text = isAway ? sentence : kafkaFault ? `Kafka is away: ${kafkaFault}.` : "";
  notice.hidden = text === "";
  setText(notice, text);
  $("state").dataset.state = isAway ? "away" : kafkaFault ? "away" : state;
  setText($("state"), isAway ? "server away" : kafkaFault ? "Kafka away" : isPaused ? "connected, paused" : state);
}

function refilter() {
  for (const wall of [live, wrong, unsure]) wall.refilter();
  showMatching();
}

function showMatching() {
  const text = `${count(live.matching.length)} of the last ${count(live.kept.length)} match`;
  setText($("matching"), filter.isOn ? text : "");
}

function setPaused(paused) {
  isPaused = paused;
  missed = 0;
  $("pause").classList.toggle("main", paused);
  setText($("pause"), paused ? "Go on" : "Pause");
  showNotice();
  showHeld();
}

/** Why the tiles stand still, if they do. */
function showHeld() {
  const why = live.isHeld ? "held while you point at it" : "";
  setText($("held"), isPaused ? `paused, ${count(missed)} not shown` : why);
}

$("pause").addEventListener("click", () => setPaused(!isPaused));
$("dead").append(make("tr", "nothing", Object.assign(make("td", "", "None so far."), { colSpan: 5 })));

setInterval(() => {
  if (document.hidden) return;
  if (!isPaused) for (const wall of [live, wrong, unsure]) wall.render();
  showHeld();
  if (filter.isOn) showMatching();
}, FRAME_MS);

new Stream("/events", { hello: onHello, prediction: onPrediction, dead: onDead, figures: onFigures }, onState);
