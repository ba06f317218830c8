// What is drawn on an image: outlines (a label map), boxes, measured lines. Plain data, in voxels of the image as read.
"use strict";

export const COLOURS = ["#ffd43b", "#4dd2ff", "#ff7ad9", "#7cf29a", "#ffa94d", "#b9a5ff", "#f27c7c", "#d8e07a"];

export class Mask {
  constructor(depth, height, width, values = null) {
    [this.depth, this.height, this.width] = [depth, height, width];
    this.values = values ?? new Uint8Array(depth * height * width);
    this.before = [];
    this.edges = new Map();
  }

  slice(z) {
    const size = this.height * this.width;
    return this.values.subarray(z * size, (z + 1) * size);
  }

  // Remember a slice before a stroke, so that it can be taken back.
  begin(z) {
    this.before.push({ z, values: this.slice(z).slice() });
    if (this.before.length > 50) this.before.shift();
  }

  back() {
    const last = this.before.pop();
    if (!last) return null;
    this.slice(last.z).set(last.values);
    this.edges.delete(last.z);
    return last.z;
  }

  // A round brush from one point to another; value 0 erases.
  stroke(z, from, to, radius, value) {
    const values = this.slice(z);
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(0.5, radius / 2)));
    for (let step = 0; step <= steps; step++) {
      const x = from.x + ((to.x - from.x) * step) / steps;
      const y = from.y + ((to.y - from.y) * step) / steps;
      for (let j = Math.max(0, Math.floor(y - radius)); j <= Math.min(this.height - 1, Math.ceil(y + radius)); j++)
        for (let i = Math.max(0, Math.floor(x - radius)); i <= Math.min(this.width - 1, Math.ceil(x + radius)); i++)
          if (Math.hypot(i + 0.5 - x, j + 0.5 - y) <= Math.max(radius, 0.71)) values[j * this.width + i] = value;
    }
    this.edges.delete(z);
  }

  // Borders between unlike pixels of a slice: one path a value, in pixels.
  outline(z) {
    if (!this.edges.has(z)) this.edges.set(z, this.#outline(this.slice(z)));
    return this.edges.get(z);
  }

  #outline(values) {
    const paths = new Map();
    const { width, height } = this;
    for (let y = 0, at = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) {
        const value = values[at];
        if (!value || value === 255) continue;
        if (!paths.has(value)) paths.set(value, { line: new Path2D(), fill: new Path2D(), area: 0 });
        const path = paths.get(value);
        path.area++;
        path.fill.rect(x, y, 1, 1);
        if (y === 0 || values[at - width] !== value) path.line.moveTo(x, y), path.line.lineTo(x + 1, y);
        if (y === height - 1 || values[at + width] !== value) path.line.moveTo(x, y + 1), path.line.lineTo(x + 1, y + 1);
        if (x === 0 || values[at - 1] !== value) path.line.moveTo(x, y), path.line.lineTo(x, y + 1);
        if (x === width - 1 || values[at + 1] !== value) path.line.moveTo(x + 1, y), path.line.lineTo(x + 1, y + 1);
      }
    return paths;
  }

  // The slice with most of the mask on it, or null where it is empty.
  fullest() {
    let [best, most] = [null, 0];
    for (let z = 0; z < this.depth; z++) {
      let count = 0;
      for (const value of this.slice(z)) if (value && value !== 255) count++;
      if (count > most) [best, most] = [z, count];
    }
    return best;
  }

  // Run lengths: value, count, value, count, ...
  runs() {
    const made = [];
    for (let i = 0; i < this.values.length; ) {
      const value = this.values[i];
      let end = i + 1;
      while (end < this.values.length && this.values[end] === value) end++;
      made.push(value, end - i);
      i = end;
    }
    return { shape: [this.depth, this.height, this.width], runs: made };
  }

  static fromRuns({ shape, runs }) {
    const made = new Mask(...shape);
    for (let i = 0, at = 0; i < runs.length; at += runs[i + 1], i += 2) made.values.fill(runs[i], at, at + runs[i + 1]);
    return made;
  }
}

// Boxes are {z0, y0, x0, z1, y1, x1, kind, score|null}: edges in voxels, voxel i covers i to i + 1.
export function corner(box, point, reach) {
  for (const [xs, ys] of [["x0", "y0"], ["x1", "y0"], ["x0", "y1"], ["x1", "y1"]])
    if (Math.hypot(box[xs] - point.x, box[ys] - point.y) <= reach) return [xs, ys];
  return null;
}

export function inside(box, point) {
  return point.x >= box.x0 && point.x <= box.x1 && point.y >= box.y0 && point.y <= box.y1;
}

export function tidy(box) {
  const [x0, x1] = [Math.min(box.x0, box.x1), Math.max(box.x0, box.x1)];
  const [y0, y1] = [Math.min(box.y0, box.y1), Math.max(box.y0, box.y1)];
  return { ...box, x0, x1, y0, y1 };
}

// Length of a line {x0, y0, x1, y1} and its unit, by the spacing (z, y, x) in mm or null.
export function length(line, spacing) {
  const [dx, dy] = [line.x1 - line.x0, line.y1 - line.y0];
  return spacing ? [Math.hypot(dx * spacing[2], dy * spacing[1]), "mm"] : [Math.hypot(dx, dy), "px"];
}
