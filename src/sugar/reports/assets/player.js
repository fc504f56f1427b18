// Draws the skeletons of the page: perspective, body parts in colors, turned by dragging or arrow keys.
"use strict";

const root = document.documentElement;
window.addEventListener("error", (event) => { root.dataset.error = event.message; });

const PARTS = ["head", "hand", "arm", "hip", "leg", "foot"];
const WIDTH = [0.034, 0.016, 0.028, 0.036, 0.034, 0.024]; // of the lines, in body heights
const HOLLOW = 0.5; // share of the second person's lines that is left open
const PAUSE = 0.6; // seconds at the end of a clip before it starts again
const FASTEST = 2.5; // radians a second that a skeleton turns on after a drag
const TRAIL = 0.6; // seconds of the hands' paths
const VIEWS = { front: [0, 0.1], side: [Math.PI / 2, 0.1], top: [0, Math.PI / 2] }; // yaw and pitch
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Coordinates as floats [frame, person, joint, axis], and which of them were measured. */
function decode(data) {
  const [frames, persons, joints] = data.shape;
  const view = new DataView(bytes(data.steps).buffer);
  const count = frames * persons * joints;
  const points = Float32Array.from({ length: 3 * count }, (_, i) => view.getInt16(2 * i, true) * data.unit);
  const bits = bytes(data.measured);
  const measured = Array.from({ length: count }, (_, i) => Boolean((bits[i >> 3] >> (7 - (i & 7))) & 1));
  const ever = Array.from({ length: persons * joints }, (_, i) =>
    Array.from({ length: frames }, (_, t) => measured[t * persons * joints + i]).some(Boolean));
  return { ...data, frames, persons, joints, points, measured, ever };
}

function palette() {
  const style = getComputedStyle(root);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  return { parts: PARTS.map(color), stage: color("stage"), floor: color("floor"), rim: color("rim"),
    ink: color("ink"), quiet: color("quiet"), hand: color("hand") };
}

/** One canvas: a camera on the clip that is turned by dragging or arrow keys. */
class View {
  constructor(canvas, clip, player) {
    Object.assign(this, { canvas, clip, player });
    this.context = canvas.getContext("2d");
    const [yaw, pitch] = VIEWS[canvas.dataset.view] || [clip.persons > 1 ? -0.3 : 0.45, 0.14];
    this.yaw = clip.flat ? 0 : yaw;
    this.pitch = clip.flat ? 0 : pitch;
    this.spin = 0;
    this.visible = false;
    this.listen();
  }

  get time() { return this.player.time; }

  listen() {
    this.canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      if (event.key === " ") this.player.play(!this.player.playing);
      else if (event.key in turns) this.turn(...turns[event.key]);
      else return;
      event.preventDefault();
      this.draw();
    });
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.spin = 0;
      this.held = [event.clientX, event.clientY];
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.held) return;
      const step = (event.clientX - this.held[0]) * 0.01;
      this.turn(step, event.pointerType === "touch" ? 0 : (event.clientY - this.held[1]) * 0.006);
      this.spin = Math.max(-FASTEST, Math.min(FASTEST, step * 30));
      this.moved = event.timeStamp;
      this.held = [event.clientX, event.clientY];
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"])
      this.canvas.addEventListener(end, (event) => {
        this.held = null;
        if (calm.matches || event.timeStamp - this.moved > 100) this.spin = 0;
        else wake();
      });
  }

  turn(yaw, pitch) {
    if (this.clip.flat) return;
    this.yaw += yaw;
    this.pitch = Math.min(Math.PI / 2, Math.max(-0.1, this.pitch + pitch));
  }

  glide(seconds) {
    if (this.held) return;
    this.turn(this.spin * seconds, 0);
    this.spin *= Math.exp(-4 * seconds);
  }

  resize() {
    const scale = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * scale));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * scale));
    this.draw();
  }

  /** Frame before a time, and the share of the way to the next. */
  at(time) {
    const { frames, seconds } = this.clip;
    const position = frames > 1 ? Math.min(1, Math.max(0, time / seconds)) * (frames - 1) : 0;
    const frame = Math.min(Math.floor(position), Math.max(0, frames - 2));
    return [frame, position - frame];
  }

  joint(frame, share, person, joint) {
    const { points, persons, joints, frames } = this.clip;
    const here = 3 * ((frame * persons + person) * joints + joint);
    const next = frame + 1 < frames ? here + 3 * persons * joints : here;
    return [0, 1, 2].map((axis) => points[here + axis] * (1 - share) + points[next + axis] * share);
  }

  /** A point of the stage on the canvas: [x, y, size of one unit, depth]. */
  camera() {
    const { width, height } = this.canvas;
    const reach = Math.max(this.clip.radius, 0.3 * this.clip.height);
    const scale = Math.min(0.84 * width / (2 * reach), 0.86 * height / (this.clip.height + 0.3 * reach));
    const distance = 5 * Math.max(this.clip.height, reach);
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const middle = this.clip.height / 2;
    return ([x, y, z]) => {
      const across = cy * x + sy * z, depth = cy * z - sy * x, up = y - middle;
      const raised = cp * up - sp * depth, near = sp * up + cp * depth;
      const size = scale * distance / (distance - near);
      return [width / 2 + across * size, height * 0.51 - raised * size, size, near];
    };
  }

  draw() {
    const { context, clip } = this;
    const look = this.camera();
    const [frame, share] = this.at(this.time);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.lineCap = context.lineJoin = "round";
    if (!clip.flat) this.drawFloor(look);
    const lines = [], bodies = [];
    for (let person = 0; person < clip.persons; person++) {
      const nearest = share < 0.5 ? frame : Math.min(frame + 1, clip.frames - 1);
      const seen = (joint) => clip.measured[(nearest * clip.persons + person) * clip.joints + joint];
      if (!clip.parts.some((_, joint) => seen(joint))) continue;
      const body = clip.parts.map((_, joint) => this.joint(frame, share, person, joint));
      const places = body.map(look);
      const known = (joint) => clip.strict ? seen(joint) : clip.ever[person * clip.joints + joint];
      if (!clip.flat) this.drawShadow(look, body, known);
      if (clip.trunk.length && clip.trunk.every(known)) this.fillTrunk(clip.trunk.map((joint) => places[joint]));
      for (const [child, parent] of clip.bones)
        if (known(child) && known(parent))
          lines.push({ depth: (places[child][3] + places[parent][3]) / 2, from: places[parent], to: places[child],
            part: clip.parts[child], sure: seen(child) && seen(parent), hollow: person > 0 });
      const joined = new Set(clip.bones.filter((bone) => bone.every(known)).flat());
      for (const [joint, place] of places.entries())
        if (known(joint) && !joined.has(joint))
          lines.push({ depth: place[3], from: place, to: place, part: clip.parts[joint], sure: seen(joint),
            hollow: person > 0 });
      if (clip.head >= 0 && known(clip.head))
        lines.push({ depth: places[clip.head][3] + 0.05 * clip.height, from: places[clip.head], to: places[clip.head],
          part: 0, head: true, sure: seen(clip.head), hollow: person > 0 }); // the front of the ball hides the neck
      if (!clip.strict) this.drawTrails(look, person);
      bodies.push([person, places, known]);
    }
    lines.sort((a, b) => a.depth - b.depth).forEach((line) => this.drawLine(line));
    for (const body of bodies) this.drawLabels(...body);
  }

  drawLine({ from, to, part, sure, head, hollow }) {
    const { context, clip } = this;
    const size = (from[2] + to[2]) / 2 * clip.height;
    const width = head ? 0.095 * size : Math.max(2, WIDTH[part] * size);
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1] + (from === to ? 0.01 : 0)); // a line of no length would not be painted
    context.strokeStyle = colors.stage;
    context.lineWidth = width + 0.012 * size;
    if (sure) context.stroke(); // a rim that lets the nearer limb stand out
    context.globalAlpha = sure ? 1 : 0.3;
    context.strokeStyle = colors.parts[part];
    context.lineWidth = width;
    context.stroke();
    context.globalAlpha = 1;
    if (!hollow) return;
    context.strokeStyle = colors.stage; // the second person is an outline
    context.lineWidth = HOLLOW * width;
    context.stroke();
  }

  fillTrunk(corners) {
    const { context } = this;
    context.beginPath();
    for (const [x, y] of corners) context.lineTo(x, y);
    context.globalAlpha = 0.16;
    context.fillStyle = colors.parts[3];
    context.fill();
    context.globalAlpha = 1;
  }

  drawFloor(look) {
    const { context, clip } = this;
    const reach = Math.max(clip.radius, 0.3 * clip.height);
    for (const [radius, filled] of [[1.08 * reach, true], [0.54 * reach, false]]) {
      context.beginPath();
      for (let i = 0; i <= 48; i++) {
        const angle = i / 24 * Math.PI;
        const [x, y] = look([radius * Math.cos(angle), 0, radius * Math.sin(angle)]);
        context.lineTo(x, y);
      }
      context.fillStyle = colors.floor;
      context.strokeStyle = colors.rim;
      context.lineWidth = 1;
      if (filled) context.fill();
      context.stroke();
    }
  }

  drawShadow(look, body, known) {
    const { context, clip } = this;
    context.strokeStyle = colors.rim;
    for (const [child, parent] of clip.bones) {
      if (!known(child) || !known(parent)) continue;
      const [a, b] = [child, parent].map((joint) => look([body[joint][0], 0, body[joint][2]]));
      context.lineWidth = Math.max(1, 0.03 * a[2] * clip.height);
      context.beginPath();
      context.moveTo(a[0], a[1]);
      context.lineTo(b[0], b[1]);
      context.stroke();
    }
  }

  drawTrails(look, person) {
    const { context, clip } = this;
    const now = Math.min(this.time, clip.seconds), steps = 16;
    context.strokeStyle = colors.hand;
    context.lineCap = "butt"; // round ends would overlap as dots
    for (const joint of Object.values(clip.hands)) {
      if (!clip.ever[person * clip.joints + joint]) continue;
      let last = null;
      for (let i = 0; i <= steps; i++) {
        const time = now - TRAIL * (1 - i / steps);
        const here = time < 0 ? null : look(this.joint(...this.at(time), person, joint));
        if (last) {
          context.globalAlpha = 0.4 * i / steps;
          context.lineWidth = Math.max(1, 0.012 * here[2] * clip.height);
          context.beginPath();
          context.moveTo(last[0], last[1]);
          context.lineTo(here[0], here[1]);
          context.stroke();
        }
        last = here;
      }
    }
    context.lineCap = "round";
    context.globalAlpha = 1;
  }

  drawLabels(person, places, known) {
    const { context, clip } = this;
    const size = Math.max(11, this.canvas.height / 32);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const write = (text, x, y) => {
      context.lineWidth = size / 3;
      context.strokeStyle = colors.stage;
      context.strokeText(text, x, y);
      context.fillStyle = colors.ink;
      context.fillText(text, x, y);
    };
    for (const [side, joint] of Object.entries(clip.hands)) {
      if (!known(joint)) continue;
      const [x, y] = places[joint];
      const middle = places.reduce((sum, place) => sum + place[0], 0) / places.length;
      write(side, x + (x < middle ? -1.3 : 1.3) * size, y);
    }
    if (clip.persons < 2 || clip.head < 0) return;
    const [x, y, scale] = places[clip.head];
    write(String(person + 1), x, y - 0.085 * scale * clip.height);
  }
}

/** The time that the views of one clip share, with its button and slider. */
class Player {
  constructor(card, data) {
    this.clip = { ...decode(data), strict: "strict" in card.dataset };
    this.button = card.querySelector(".play");
    this.slider = card.querySelector("input");
    this.clock = card.querySelector("output");
    this.time = 0.45 * this.clip.seconds;
    this.playing = !calm.matches && this.clip.frames > 1;
    this.views = Array.from(card.querySelectorAll("canvas"), (canvas) => new View(canvas, this.clip, this));
    this.button.addEventListener("click", () => this.play(!this.playing));
    this.slider.addEventListener("input", () => {
      this.play(false);
      this.time = this.slider.value / 1000 * this.clip.seconds;
      this.show();
    });
    this.views.forEach((view) => view.resize());
    this.show();
  }

  play(on) {
    this.playing = on && this.clip.frames > 1;
    this.button.textContent = this.playing ? "Pause" : "Play";
    wake();
  }

  get busy() { return this.views.some((view) => view.visible && (this.playing || Math.abs(view.spin) > 0.01)); }

  advance(seconds) {
    if (this.playing) this.time = (this.time + seconds) % (this.clip.seconds + PAUSE);
    this.views.forEach((view) => view.glide(seconds));
    this.show();
  }

  show() {
    const now = Math.min(this.time, this.clip.seconds);
    this.slider.value = Math.round(1000 * (this.clip.seconds ? now / this.clip.seconds : 0));
    this.button.textContent = this.playing ? "Pause" : "Play";
    if (this.clock) this.clock.textContent = `${now.toFixed(2)} s`;
    this.views.forEach((view) => view.draw());
  }
}

let colors = palette();
let before = 0, running = false;
const players = [];

function step(now) {
  const busy = players.filter((player) => player.busy);
  const seconds = Math.min(0.1, Math.max(0, (now - before) / 1000));
  before = now;
  busy.forEach((player) => player.advance(seconds));
  running = busy.length > 0;
  if (running) requestAnimationFrame(step);
  label();
}

function wake() {
  if (running) return;
  running = true;
  before = performance.now();
  requestAnimationFrame(step);
}

const everyone = document.getElementById("all");
const label = () => { if (everyone) everyone.textContent = players.some((player) => player.playing) ? "Pause all" : "Play all"; };

/** Whether the page fits, how much of the first canvas is painted, and whether another moment looks different. */
function selfTest(player) {
  const { context, canvas } = player.views[0];
  const pixels = () => context.getImageData(0, 0, canvas.width, canvas.height).data;
  const shot = (time) => { player.time = time; player.show(); return pixels(); };
  const first = shot(0), other = shot(player.clip.seconds / 2);
  let painted = 0, moved = 0;
  for (let i = 0; i < first.length; i += 4) {
    painted += first[i + 3] > 0;
    moved += first[i] !== other[i] || first[i + 1] !== other[i + 1] || first[i + 2] !== other[i + 2];
  }
  root.dataset.overflow = root.scrollWidth - root.clientWidth;
  root.dataset.painted = painted;
  root.dataset.moved = moved;
}

const animations = JSON.parse(document.getElementById("animations").textContent);
for (const card of document.querySelectorAll(".clip")) players.push(new Player(card, animations[card.dataset.animation]));

const views = players.flatMap((player) => player.views);
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) views.find((view) => view.canvas === entry.target).visible = entry.isIntersecting;
  wake();
});
const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) views.find((view) => view.canvas === entry.target).resize();
});
for (const view of views) {
  observer.observe(view.canvas);
  sizes.observe(view.canvas);
}
dark.addEventListener("change", () => { colors = palette(); views.forEach((view) => view.draw()); });
calm.addEventListener("change", () => players.forEach((player) => player.play(!calm.matches)));
everyone?.addEventListener("click", () => {
  const on = !players.some((player) => player.playing);
  players.forEach((player) => player.play(on));
  label();
});
label();
if (location.hash === "#selftest" && players.length) selfTest(players[0]);
root.dataset.ready = `${players.length} clips`;
