// Pixels of one image: what the server says of it, and its slices, fetched in slabs (compressed, kept by the browser by content).
"use strict";

const KINDS = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array };

export class Pixels {
  // `about` is the JSON of /pixels/CASE/IMAGE/KEY; `base` that address.
  constructor(base, about) {
    Object.assign(this, about);
    this.base = base;
    [this.times, this.channels, this.depth, this.height, this.width] = about.shape;
    this.slabs = new Map();
  }

  static async open(base) {
    const answer = await fetch(base, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return new Pixels(base, await answer.json());
  }

  // Time points of a flat picture are leafed through like slices.
  get cine() {
    return this.depth === 1 && this.times > 1;
  }

  get slices() {
    return this.cine ? this.times : this.depth;
  }

  // Bytes per slice as sent: a colour picture has its three channels side by side.
  get values() {
    return this.height * this.width * (this.colour ? 3 : 1);
  }

  place(slice, channel, time) {
    const [t, z] = this.cine ? [slice, 0] : [time, slice];
    return { t, c: this.colour ? 0 : channel, slab: Math.floor(z / this.slab), z };
  }

  address({ t, c, slab }) {
    return `${this.base}/${t}/${c}/${slab}`;
  }

  // The slice if it has arrived, else null.
  ready(slice, channel = 0, time = 0) {
    const at = this.place(slice, channel, time);
    const found = this.slabs.get(this.address(at));
    if (!found || found instanceof Promise) return null;
    const from = (at.z - at.slab * this.slab) * this.values;
    return found.subarray(from, from + this.values);
  }

  load(slice, channel = 0, time = 0) {
    const at = this.place(slice, channel, time);
    const address = this.address(at);
    if (!this.slabs.has(address)) {
      const coming = fetch(address).then(async (answer) => {
        if (!answer.ok) throw new Error(String(answer.status));
        const found = new KINDS[this.dtype](await answer.arrayBuffer());
        this.slabs.set(address, found);
        return found;
      });
      coming.catch(() => this.slabs.delete(address));
      this.slabs.set(address, coming);
    }
    return Promise.resolve(this.slabs.get(address));
  }

  // All other slices of this channel and time, the nearest first, one slab at a time.
  async loadAll(from, channel = 0, time = 0, seen = () => {}) {
    const order = Array.from({ length: this.slices }, (_, each) => each).sort((a, b) => Math.abs(a - from) - Math.abs(b - from));
    for (const each of order)
      if (!this.ready(each, channel, time)) {
        await this.load(each, channel, time);
        seen();
      }
  }

  // The value in the image's own units (Hounsfield, ...), or null where nothing has arrived.
  value(x, y, slice, channel = 0, time = 0) {
    const found = this.ready(slice, channel, time);
    if (!found || x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const at = y * this.width + x;
    return this.colour ? null : found[at] * this.slope + this.intercept;
  }

  // RGBA of a slice at a window [centre, width], or null.
  picture(slice, channel, time, [centre, width]) {
    const found = this.ready(slice, channel, time);
    if (!found) return null;
    const made = new ImageData(this.width, this.height);
    const out = new Uint32Array(made.data.buffer);
    const table = this.table(centre, width);
    const shift = this.dtype === "int16" ? 32768 : 0;
    if (this.colour)
      for (let i = 0, j = 0; i < out.length; i++, j += 3)
        out[i] = 0xff000000 | (table[found[j + 2]] << 16) | (table[found[j + 1]] << 8) | table[found[j]];
    else
      for (let i = 0; i < out.length; i++) {
        const grey = table[found[i] + shift];
        out[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
      }
    return made;
  }

  // Stored value to grey, made anew only when the window changes.
  table(centre, width) {
    const key = `${centre}/${width}`;
    if (this.tableKey !== key) {
      const size = this.dtype === "uint8" ? 256 : 65536;
      const shift = this.dtype === "int16" ? 32768 : 0;
      const made = new Uint8ClampedArray(size);
      const low = centre - width / 2;
      for (let i = 0; i < size; i++) made[i] = (((i - shift) * this.slope + this.intercept - low) / width) * 255;
      if (this.inverted) for (let i = 0; i < size; i++) made[i] = 255 - made[i];
      [this.tableKey, this.tableKept] = [key, made];
    }
    return this.tableKept;
  }
}

// A whole volume of bytes (a mask, a heat map): one fetch.
export async function bytes(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(String(answer.status));
  return new Uint8Array(await answer.arrayBuffer());
}
