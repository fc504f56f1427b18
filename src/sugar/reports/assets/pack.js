// The pair under the pointer on a map of similarities, and the search among the classes.
"use strict";

const root = document.documentElement;
window.addEventListener("error", (event) => { root.dataset.error = event.message; });

const { names, similarity } = JSON.parse(document.getElementById("data").textContent);
const classes = [...document.querySelectorAll(".class")];
const find = document.getElementById("find");
const output = document.querySelector(".similarity output");

/** Cosine of two classes; null on the diagonal, and where one has no text. */
function cosine(kind, i, j) {
  const [low, high] = i < j ? [i, j] : [j, i];
  const value = i === j ? null : similarity[kind][(high * (high - 1)) / 2 + low];
  return value === null ? null : value / 10000;
}

/** Show the classes for which `wanted` holds. */
function filter(wanted) {
  let shown = 0;
  classes.forEach((card, at) => {
    card.hidden = !wanted(at);
    shown += !card.hidden;
  });
  document.getElementById("found").textContent = shown === names.length ? "" : `${shown} of ${names.length}`;
}

function search() {
  const terms = find.value.toLowerCase().split(",").map((term) => term.trim()).filter(Boolean);
  filter((at) => !terms.length || terms.some((term) => names[at].toLowerCase().includes(term)));
}

/** All texts of two classes, and nothing else. */
function compare(...wanted) {
  find.value = wanted.map((at) => names[at]).join(", ");
  filter((at) => wanted.includes(at));
  document.getElementById("classes").scrollIntoView();
}

/** One map: a cell that pointer and arrow keys move. */
function listen(map) {
  const drawing = map.querySelector("svg");
  const cross = map.querySelector(".cross");
  const [left, top, cell] = ["left", "top", "cell"].map((name) => Number(drawing.dataset[name]));
  const last = names.length - 1;
  let row = 0, column = Math.min(1, last);

  function show() {
    const size = cell * names.length, x = left + column * cell, y = top + row * cell;
    cross.setAttribute("d", `M${left} ${y}h${size}M${left} ${y + cell}h${size}M${x} ${top}v${size}M${x + cell} ${top}v${size}`);
    const value = cosine(map.dataset.kind, row, column);
    const said = value === null ? (row === column ? "the same class" : "one of them has no such text") : value.toFixed(3);
    const [one, other] = [row, column].map((at) => Object.assign(document.createElement("bdi"), { textContent: names[at] }));
    output.replaceChildren(one, " and ", other, `: ${said}`);
  }

  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect(), scale = drawing.viewBox.baseVal.width / box.width;
    const x = Math.floor(((event.clientX - box.left) * scale - left) / cell);
    const y = Math.floor(((event.clientY - box.top) * scale - top) / cell);
    if (Math.min(x, y) < 0 || Math.max(x, y) > last || (x === column && y === row)) return;
    [column, row] = [x, y];
    show();
  });
  drawing.addEventListener("focus", show);
  drawing.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Enter") compare(row, column);
    else if (event.key in moves) {
      const [x, y] = moves[event.key];
      column = Math.min(Math.max(column + x, 0), last);
      row = Math.min(Math.max(row + y, 0), last);
      show();
    } else return;
    event.preventDefault();
  });
  // A tap shows the pair; a second one, or a click of a mouse, opens its texts.
  let tapped = "";
  drawing.addEventListener("click", (event) => {
    const here = `${row} ${column}`;
    if (event.pointerType === "mouse" || tapped === here) compare(row, column);
    tapped = here;
  });
}

document.querySelectorAll(".map").forEach(listen);
document.querySelectorAll("button[data-pair]").forEach((button) => {
  button.addEventListener("click", () => compare(...button.dataset.pair.split(" ").map(Number)));
});
find.addEventListener("input", search);
// A link to a class that the search hides shows all again.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target?.hidden) return;
  find.value = "";
  search();
  target.scrollIntoView();
});

/** Whether the page fits, and what is said of the first cell and after a search. */
function selfTest() {
  root.dataset.overflow = root.scrollWidth - root.clientWidth;
  // Not focus(): a window that has no focus itself fires no event.
  document.querySelector(".map svg")?.dispatchEvent(new Event("focus"));
  if (output) root.dataset.said = output.textContent;
  compare(0, names.length - 1);
  root.dataset.shown = classes.filter((card) => !card.hidden).length;
  find.value = names[0].toUpperCase();
  search();
  root.dataset.found = classes.filter((card) => !card.hidden).map((card) => card.id).join(" ");
}

root.dataset.ready = `${names.length} classes`;
if (location.hash === "#selftest") selfTest();
