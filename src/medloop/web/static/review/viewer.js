// One pane with an image: window, zoom, pan, slices, and what is drawn on it. Canvas only, so it is quick without a graphics card.
"use strict";

import { COLOURS, Mask, corner, inside, length, tidy } from "./marks.js";

function onCanvas(picture, canvas) {
  if (canvas.width !== picture.width) canvas.width = picture.width;
  if (canvas.height !== picture.height) canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

const REACH = 9; // how near, in CSS pixels, a corner is taken

export class Viewer {
  // `pane`: an element with a canvas, an input[type=range] and .corner elements. `seen(what)` is told of changes:
  // "marks", "window", "zoom", "slice", "drawn".
  constructor(pane, { texts, seen = () => {} }) {
    this.pane = pane;
    this.canvas = pane.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.slider = pane.querySelector("input[type=range]");
    this.texts = texts;
    this.seen = seen;
    this.show = { outline: true, boxes: true, heat: false, lines: true };
    Object.assign(this, { slice: 0, channel: 0, time: 0, zoom: 1, pan: { x: 0, y: 0 }, tool: "window", kind: 1, brush: 4 });
    Object.assign(this, { pixels: null, mask: null, heat: null, boxes: [], lines: [], chosen: -1, editable: false, pointers: new Map() });
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
      this.canvas.addEventListener(kind, (event) => this.#pointer(event));
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    new ResizeObserver(() => this.#size()).observe(this.canvas.parentElement);
  }

  async open(pixels, window) {
    this.pixels = pixels;
    this.window = window ?? pixels.window;
    this.slice = Math.floor(pixels.slices / 2);
    this.slider.max = pixels.slices - 1;
    this.slider.hidden = pixels.slices < 2;
    await pixels.load(this.slice, this.channel, this.time);
    this.#size();
    this.seen("drawn");
    pixels.loadAll(this.slice, this.channel, this.time, () => this.draw()).catch(() => this.fail());
  }

  fail() {
    this.pane.classList.add("failed");
  }

  // Millimetres a voxel is high, over those it is wide.
  get aspect() {
    const spacing = this.pixels.spacing_mm;
    return spacing ? spacing[1] / spacing[2] : 1;
  }

  get fit() {
    const { clientWidth, clientHeight } = this.canvas;
    return Math.min(clientWidth / this.pixels.width, clientHeight / (this.pixels.height * this.aspect)) || 1;
  }

  // From voxels to CSS pixels: {a, d, e, f} as in a 2-D matrix, `scale` pixels a voxel is wide. Turned about where the image lies so.
  get matrix() {
    const scale = this.fit * this.zoom;
    const [rows, columns] = this.pixels.flip;
    const a = columns ? -scale : scale;
    const d = (rows ? -scale : scale) * this.aspect;
    const e = this.canvas.clientWidth / 2 + this.pan.x - (a * this.pixels.width) / 2;
    const f = this.canvas.clientHeight / 2 + this.pan.y - (d * this.pixels.height) / 2;
    return { a, d, e, f, scale };
  }

  point(event) {
    const frame = this.canvas.getBoundingClientRect();
    const { a, d, e, f } = this.matrix;
    return { x: (event.clientX - frame.left - e) / a, y: (event.clientY - frame.top - f) / d };
  }

  go(slice) {
    if (!this.pixels) return;
    this.slice = Math.max(0, Math.min(this.pixels.slices - 1, slice));
    this.pixels.load(this.slice, this.channel, this.time).then(() => this.draw(), () => this.fail());
    this.draw();
    this.seen("slice");
  }

  setWindow(window) {
    this.window = [window[0], Math.max(window[1], 1e-6)];
    this.draw();
    this.seen("window");
  }

  zoomBy(factor, at = null) {
    if (!this.pixels) return;
    const before = this.matrix;
    const zoom = Math.max(0.2, Math.min(40, this.zoom * factor));
    const grown = zoom / this.zoom;
    const x = (at?.x ?? this.canvas.clientWidth / 2) - this.canvas.clientWidth / 2;
    const y = (at?.y ?? this.canvas.clientHeight / 2) - this.canvas.clientHeight / 2;
    this.pan = { x: x - (x - this.pan.x) * grown, y: y - (y - this.pan.y) * grown };
    this.zoom = zoom;
    if (before.scale !== this.matrix.scale) this.draw(), this.seen("zoom");
  }

  reset() {
    [this.zoom, this.pan] = [1, { x: 0, y: 0 }];
    this.setWindow(this.pixels.window);
    this.seen("zoom");
  }

  #size() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    this.paint();
  }

  draw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => ((this.waiting = 0), this.paint()));
  }

  paint() {
    if (!this.pixels || !this.canvas.width) return;
    const context = this.context;
    const ratio = devicePixelRatio || 1;
    const { a, d, e, f, scale } = this.matrix;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(a * ratio, 0, 0, d * ratio, e * ratio, f * ratio);
    const made = this.#picture();
    if (made) this.#put(made, scale < 8);
    this.pane.toggleAttribute("data-painted", Boolean(made));
    if (this.heat && this.show.heat) this.#put(onCanvas(this.#heated(), (this.warm ??= document.createElement("canvas"))), true);
    if (this.mask && this.show.outline) this.#outlines(scale);
    if (this.show.boxes) this.boxes.forEach((box, index) => this.#box(box, index, scale));
    this.lines.filter((line) => line.slice === this.slice).forEach((line) => this.#line(line, scale));
    this.#corners();
  }

  // The slice through its window as a canvas, made anew only where slice or window changed; null where it has not arrived.
  #picture() {
    const key = [this.pixels.base, this.slice, this.channel, this.time, ...this.window].join();
    if (this.pictureKey !== key) {
      const made = this.pixels.picture(this.slice, this.channel, this.time, this.window);
      if (!made) return null;
      this.scratch = onCanvas(made, this.scratch ?? document.createElement("canvas"));
      this.pictureKey = key;
    }
    return this.scratch;
  }

  #put(canvas, smooth) {
    this.context.imageSmoothingEnabled = smooth;
    this.context.imageSmoothingQuality = "medium";
    this.context.drawImage(canvas, 0, 0);
  }

  // Warmth of the slice: transparent where cold, yellow to red where warm.
  #heated() {
    const { width, height } = this.pixels;
    const made = new ImageData(width, height);
    const from = Math.min(this.slice, this.heat.length / (width * height) - 1) * width * height;
    for (let i = 0, o = 0; i < width * height; i++, o += 4) {
      const warm = this.heat[from + i] / 255;
      made.data[o] = 255;
      made.data[o + 1] = 235 * (1 - warm);
      made.data[o + 2] = 40 * (1 - warm);
      made.data[o + 3] = warm < 0.12 ? 0 : 30 + 130 * warm;
    }
    return made;
  }

  #outlines(scale) {
    for (const [value, { line, fill }] of this.mask.outline(this.slice)) {
      const colour = COLOURS[(value - 1) % COLOURS.length];
      this.context.fillStyle = `${colour}2e`;
      this.context.fill(fill);
      this.context.strokeStyle = colour;
      this.context.lineWidth = 1.8 / scale;
      this.context.stroke(line);
    }
  }

  #box(box, index, scale) {
    if (this.slice < box.z0 || this.slice >= box.z1) return;
    const context = this.context;
    context.strokeStyle = COLOURS[box.kind % COLOURS.length];
    context.lineWidth = (index === this.chosen ? 3 : 2) / scale;
    context.strokeRect(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
    const name = this.boxKinds?.[box.kind] ?? "";
    this.#label(box.score == null ? name : `${name} ${Math.round(100 * box.score)} %`, box.x0, box.y0, context.strokeStyle);
    if (this.editable && index === this.chosen)
      for (const [x, y] of [[box.x0, box.y0], [box.x1, box.y0], [box.x0, box.y1], [box.x1, box.y1]]) {
        context.fillStyle = context.strokeStyle;
        context.fillRect(x - 4 / scale, y - 4 / (scale * this.aspect), 8 / scale, 8 / (scale * this.aspect));
      }
  }

  #line(line, scale) {
    const context = this.context;
    context.strokeStyle = "#8cf";
    context.lineWidth = 2 / scale;
    context.beginPath();
    context.moveTo(line.x0, line.y0);
    context.lineTo(line.x1, line.y1);
    context.stroke();
    const [size, unit] = length(line, this.pixels.spacing_mm);
    this.#label(`${size.toFixed(1)} ${unit}`, line.x1, line.y1, "#8cf");
  }

  // Words beside a mark, upright and of one size at any zoom.
  #label(words, x, y, colour) {
    if (!words) return;
    const ratio = devicePixelRatio || 1;
    const { a, d, e, f } = this.matrix;
    const context = this.context;
    context.save();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "600 12px system-ui, sans-serif";
    const wide = context.measureText(words).width;
    const left = Math.max(2, Math.min(this.canvas.clientWidth - wide - 6, a * x + e));
    const top = Math.max(16, d * y + f - 4);
    context.fillStyle = "#000b";
    context.fillRect(left - 3, top - 13, wide + 6, 17);
    context.fillStyle = colour;
    context.fillText(words, left, top);
    context.restore();
  }

  #corners() {
    const set = (name, words) => {
      const corner = this.pane.querySelector(`[data-corner=${name}]`);
      if (corner && corner.textContent !== words) corner.textContent = words;
    };
    const { slices, colour } = this.pixels;
    set("slice", slices > 1 ? `${this.slice + 1} / ${slices}` : "");
    const [centre, width] = this.window.map((each) => Number(each.toPrecision(4)));
    set("window", colour ? "" : `${this.texts.centre} ${centre}  ${this.texts.width} ${width}`);
    set("zoom", `${Math.round(100 * this.zoom)} %`);
    if (Number(this.slider.value) !== this.slice) this.slider.value = this.slice;
    this.pane.dataset.slice = this.slice;
  }

  #wheel(event) {
    if (!this.pixels) return;
    event.preventDefault();
    const frame = this.canvas.getBoundingClientRect();
    if (event.ctrlKey || this.pixels.slices < 2)
      this.zoomBy(Math.exp(-event.deltaY / 400), { x: event.clientX - frame.left, y: event.clientY - frame.top });
    else this.go(this.slice + Math.sign(event.deltaY));
  }

  #pointer(event) {
    if (!this.pixels) return;
    if (event.type === "pointerdown") {
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
      if (this.pointers.size === 1) this.#begin(event);
      else this.drag = null;
      return;
    }
    const before = this.pointers.get(event.pointerId);
    if (event.type !== "pointermove") {
      this.pointers.delete(event.pointerId);
      if (this.drag) this.#end();
      return;
    }
    this.#value(event);
    if (!before) return;
    if (this.pointers.size === 2) this.#pinch(before, event);
    else if (this.drag) this.#drag(before, event);
    this.pointers.set(event.pointerId, event);
    this.draw();
  }

  #value(event) {
    const { x, y } = this.point(event);
    const value = this.pixels.value(Math.floor(x), Math.floor(y), this.slice, this.channel, this.time);
    const corner = this.pane.querySelector("[data-corner=value]");
    if (corner) corner.textContent = value === null ? "" : `${Number(value.toPrecision(5))}${this.pixels.modality === "CT" ? " HU" : ""}`;
  }

  #pinch(before, event) {
    const other = [...this.pointers.values()].find((each) => each.pointerId !== event.pointerId);
    const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const frame = this.canvas.getBoundingClientRect();
    const middle = { x: (event.clientX + other.clientX) / 2 - frame.left, y: (event.clientY + other.clientY) / 2 - frame.top };
    this.pan = { x: this.pan.x + (event.clientX - before.clientX) / 2, y: this.pan.y + (event.clientY - before.clientY) / 2 };
    this.zoomBy(apart(event) / Math.max(1, apart(before)), middle);
  }

  #begin(event) {
    const point = this.point(event);
    const tool = event.button === 1 || event.button === 2 || event.shiftKey ? "pan" : this.tool;
    this.drag = { tool, point };
    if (tool === "measure") this.lines.push({ slice: this.slice, x0: point.x, y0: point.y, x1: point.x, y1: point.y });
    else if (tool === "box") this.#takeBox(point);
    else if (tool === "brush" || tool === "erase") {
      this.mask ??= new Mask(this.pixels.slices, this.pixels.height, this.pixels.width);
      this.mask.begin(this.slice);
      this.mask.stroke(this.slice, point, point, this.brush, tool === "brush" ? this.kind : 0);
    }
    this.draw();
  }

  #takeBox(point) {
    const reach = REACH / this.matrix.scale;
    const here = (box) => this.slice >= box.z0 && this.slice < box.z1;
    for (const [index, box] of this.boxes.entries()) {
      const found = here(box) && corner(box, point, reach);
      if (found) return (this.chosen = index), (this.drag.corner = found);
    }
    const hit = this.boxes.findIndex((box) => here(box) && inside(box, point));
    if (hit >= 0) return (this.chosen = hit);
    const { x, y } = point;
    this.boxes.push({ z0: this.slice, y0: y, x0: x, z1: this.slice + 1, y1: y, x1: x, kind: Math.max(0, this.kind - 1), score: null });
    this.chosen = this.boxes.length - 1;
    return (this.drag.corner = ["x1", "y1"]);
  }

  #drag(before, event) {
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    const [point, last] = [this.point(event), this.point(before)];
    const { tool } = this.drag;
    this.drag.moved = true;
    if (tool === "pan") this.pan = { x: this.pan.x + dx, y: this.pan.y + dy };
    else if (tool === "window") {
      const [centre, width] = this.window;
      this.setWindow([centre + (dy * width) / 300, width * Math.exp(dx / 250)]);
    } else if (tool === "measure") Object.assign(this.lines.at(-1), { x1: point.x, y1: point.y });
    else if (tool === "box") this.#moveBox(point, last);
    else this.mask.stroke(this.slice, last, point, this.brush, tool === "brush" ? this.kind : 0);
  }

  #moveBox(point, last) {
    const box = this.boxes[this.chosen];
    box.score = null;
    if (this.drag.corner) [box[this.drag.corner[0]], box[this.drag.corner[1]]] = [point.x, point.y];
    else for (const [from, to, by] of [["x0", "x1", point.x - last.x], ["y0", "y1", point.y - last.y]]) (box[from] += by), (box[to] += by);
  }

  #end() {
    const { tool, moved } = this.drag;
    this.drag = null;
    if (tool === "measure" && !moved) this.lines.pop();
    if (tool === "box") {
      const box = tidy(this.boxes[this.chosen]);
      if (box.x1 - box.x0 < 1 || box.y1 - box.y0 < 1) this.boxes.splice(this.chosen, 1), (this.chosen = -1);
      else this.boxes[this.chosen] = this.#within(box);
    }
    if (tool === "pan") this.seen("zoom");
    if (tool === "box" ? moved : tool !== "pan" && tool !== "window") this.seen("marks", tool);
    this.draw();
  }

  #within(box) {
    const { width, height } = this.pixels;
    const cut = (value, most) => Math.max(0, Math.min(most, value));
    return { ...box, x0: cut(box.x0, width), x1: cut(box.x1, width), y0: cut(box.y0, height), y1: cut(box.y1, height) };
  }
}
