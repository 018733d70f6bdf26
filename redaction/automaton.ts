/**
 * Aho-Corasick over bytes: knows needles by number and nothing of secrets.
 *
 * A trie of up to millions of nodes must be built in milliseconds, so a node is a row in typed arrays and its first
 * child lies inline; only further children go to a hash table. A scan asks for the longest needle ending at a byte,
 * which is all that a union of spans needs. One step is amortised constant time whatever the needles look like.
 */

const ROOT = 0;
/** Multiplier of Fibonacci hashing; the top bits of the product choose the slot. */
const HASH = 0x9e3779b1;
/** A table key is node * 256 + symbol in 32 bits, and -1 means empty. */
const NODES_MAX = 2 ** 23;
/**
 * Numbers in the row of a node: its first child or 0, what that child is reached by, where the node fails to, and one
 * more than the longest needle that ends at it. A child is reached by one more than a symbol, plus SIBLINGS if the
 * node has further children; so a row of zeros is a node without anything.
 */
const ROW = 4;
const BY = 1;
const FAIL = 2;
const LONGEST = 3;
const SIBLINGS = 512;

export type SymbolView = {
  /** The symbol of each byte; 0 for none, more than 255 where others have to look. */
  readonly table: Uint16Array;
  /** A ring, as long as a power of two: the places of the symbols read last. */
  starts: Float64Array;
  /** How many symbols were read. */
  count: number;
  /** Over how many bytes a needle may spread before its last symbol. */
  spreadMax: number;
};

export class Automaton {
  /** Byte length of each needle. */
  readonly lengths: number[] = [];
  #nodes = 1;
  #depth = new Int32Array(256);
  #parent = new Int32Array(256);
  #symbol = new Uint8Array(256);
  /** What a step reads of a node, side by side in memory. */
  #rows = new Int32Array(256 * ROW);
  #sibling = new Int32Array(256);
  #own = new Int32Array(256).fill(-1);
  readonly #rootRow = new Int32Array(256);
  #tableKey = new Int32Array(512).fill(-1);
  #tableNode = new Int32Array(512);
  #tableUsed = 0;
  #nodeOfNeedle: number[] = [];
  #linked = true;

  get nodes(): number {
    return this.#nodes;
  }

  /** Adds a needle and gives its number; a needle already present keeps the number it has. */
  add(needle: Uint8Array): number {
    let node = ROOT;
    for (let i = 0; i < needle.length; i++) {
      const symbol = needle[i]!;
      const next = this.#child(node, symbol);
      node = next === -1 ? this.#append(node, symbol) : next;
    }
    const known = this.#own[node]!;
    if (known !== -1) return known;
    const id = this.lengths.push(needle.length) - 1;
    this.#own[node] = id;
    this.#nodeOfNeedle[id] = node;
    this.#linked = false;
    return id;
  }

  /** The state after one more byte. Call `link()` first when needles were added. */
  step(state: number, symbol: number): number {
    const rows = this.#rows;
    for (;;) {
      if (state === ROOT) return this.#rootRow[symbol]!;
      const row = state * ROW;
      const by = rows[row + BY]!;
      if ((by & (SIBLINGS - 1)) === symbol + 1) return rows[row]!;
      if (by > SIBLINGS) {
        const next = this.#lookup(state, symbol);
        if (next !== -1) return next;
      }
      state = rows[row + FAIL]!;
    }
  }

  /** After `run`: how far it came. */
  ranTo = 0;
  /**
   * A span under way, from before `run` to after it: a needle that begins within it only makes it longer and does not
   * end the run. With an end of -Infinity there is none.
   */
  spanStart = 0;
  spanEnd = -Infinity;

  /** Steps over bytes until a needle ends or `to` is reached, whichever is first; gives the state there. */
  run(state: number, bytes: Uint8Array, from: number, to: number): number {
    const rows = this.#rows;
    const { lengths, spanStart } = this;
    let { spanEnd } = this;
    let [linkState, linkAt, linkFar] = [-1, 0, 1];
    let i = from;
    while (i < to) {
      const symbol = bytes[i++]!;
      const before = state;
      for (;;) {
        if (state === ROOT) {
          state = this.#rootRow[symbol]!;
          break;
        }
        const row = state * ROW;
        const by = rows[row + BY]!;
        if ((by & (SIBLINGS - 1)) === symbol + 1) {
          state = rows[row]!;
          break;
        }
        const next = by > SIBLINGS ? this.#lookup(state, symbol) : -1;
        if (next !== -1) {
          state = next;
          break;
        }
        state = rows[row + FAIL]!;
      }
      const needle = rows[state * ROW + LONGEST]!;
      if (needle !== 0) {
        const start = i - lengths[needle - 1]!;
        if (start >= spanEnd || start <= spanStart) break;
        // In the same state as at an earlier link: as long as the text repeats itself, so do the links. Which earlier
        // one is chosen after Brent, who doubles the distance to look for ever longer periods.
        if (state === linkState) {
          const period = i - linkAt;
          let end = i;
          while (end < to && bytes[end] === bytes[end - period]) end++;
          i = end - ((end - i) % period);
        }
        if (state === linkState || i - linkAt >= linkFar) {
          linkState = state;
          linkAt = i;
          linkFar *= 2;
        }
        spanEnd = i;
      }
      // Blanks, rules and zeros come in long rows, which change nothing any more.
      if (state === before && needle === 0) while (i < to && bytes[i] === symbol) i++;
    }
    this.ranTo = i;
    this.spanEnd = spanEnd;
    return state;
  }

  /** As `run`, over the symbols of a view of bytes that lie at `base`; stops before bytes left to others, too. */
  runView(state: number, bytes: Uint8Array, from: number, to: number, base: number, view: SymbolView): number {
    const rows = this.#rows;
    const { lengths, spanStart } = this;
    let { spanEnd } = this;
    const { table, starts } = view;
    const mask = starts.length - 1;
    let { count } = view;
    let [linkState, linkAt, linkFar] = [-1, 0, 1];
    let i = from;
    for (; i < to; i++) {
      const symbol = table[bytes[i]!]!;
      if (symbol === 0) continue;
      if (symbol > 255) break;
      starts[count++ & mask] = base + i;
      const before = state;
      for (;;) {
        if (state === ROOT) {
          state = this.#rootRow[symbol]!;
          break;
        }
        const row = state * ROW;
        const by = rows[row + BY]!;
        if ((by & (SIBLINGS - 1)) === symbol + 1) {
          state = rows[row]!;
          break;
        }
        const next = by > SIBLINGS ? this.#lookup(state, symbol) : -1;
        if (next !== -1) {
          state = next;
          break;
        }
        state = rows[row + FAIL]!;
      }
      const needle = rows[state * ROW + LONGEST]!;
      if (needle !== 0) {
        const start = starts[(count - lengths[needle - 1]!) & mask]!;
        const end = base + i + 1;
        if (start >= spanEnd || start <= spanStart || end - 1 - start > view.spreadMax) {
          i++;
          break;
        }
        // As in `run`.
        if (state === linkState) {
          const period = i - linkAt;
          let same = i + 1;
          while (same < to && bytes[same] === bytes[same - period]) same++;
          const last = same - 1 - ((same - 1 - i) % period);
          // Earlier places leave the ring again before the repetition ends.
          const stale = last - period * starts.length;
          if (stale > i) i += Math.floor((stale - i) / period) * period;
          while (i < last) if (table[bytes[++i]!] !== 0) starts[count++ & mask] = base + i;
        }
        if (state === linkState || i - linkAt >= linkFar) {
          linkState = state;
          linkAt = i;
          linkFar *= 2;
        }
        spanEnd = base + i + 1;
      } else if (state === before) {
        let same = i + 1;
        while (same < to && bytes[same] === bytes[i]) same++;
        i = Math.max(i, same - 1 - starts.length);
        while (i < same - 1) starts[count++ & mask] = base + ++i;
      }
    }
    this.ranTo = i;
    this.spanEnd = spanEnd;
    view.count = count;
    return state;
  }

  /** How many of the bytes read last could still begin a needle. */
  depth(state: number): number {
    return this.#depth[state]!;
  }

  /** The next shorter state: the longest proper suffix that still begins a needle. */
  fail(state: number): number {
    return this.#rows[state * ROW + FAIL]!;
  }

  /** The same state without what cannot go on: a needle that is complete and begins no longer one. */
  open(state: number): number {
    const rows = this.#rows;
    while (state !== ROOT && rows[state * ROW] === 0) state = rows[state * ROW + FAIL]!;
    return state;
  }

  /** The longest needle that ends here, or -1. */
  longest(state: number): number {
    return this.#rows[state * ROW + LONGEST]! - 1;
  }

  /** The next shorter needle that ends where this one ends, or -1. */
  nextShorter(needle: number): number {
    return this.longest(this.fail(this.#nodeOfNeedle[needle]!));
  }

  /** The needle found by going on from this state along first children: names whose prefix a state is. */
  needleBelow(state: number): number {
    let node = state;
    while (this.#own[node] === -1) {
      const first = this.#firstChild(node);
      if (first === 0) return -1;
      node = first;
    }
    return this.#own[node]!;
  }

  /** Computes the failure links, breadth first. States stay valid when needles are added later. */
  link(): void {
    if (this.#linked) return;
    this.#linked = true;
    const queue = new Int32Array(this.#nodes);
    let tail = 0;
    for (let symbol = 0; symbol < 256; symbol++) {
      const child = this.#rootRow[symbol]!;
      if (child !== ROOT) queue[tail++] = child;
    }
    const rows = this.#rows;
    for (let head = 0; head < tail; head++) {
      const node = queue[head]!;
      const parent = this.#parent[node]!;
      const fail = parent === ROOT ? ROOT : this.step(rows[parent * ROW + FAIL]!, this.#symbol[node]!);
      rows[node * ROW + FAIL] = fail;
      rows[node * ROW + LONGEST] = this.#own[node] === -1 ? rows[fail * ROW + LONGEST]! : this.#own[node]! + 1;
      for (let child = rows[node * ROW]!; child !== 0; child = this.#sibling[child]!) queue[tail++] = child;
    }
  }

  #child(node: number, symbol: number): number {
    if (node === ROOT) return this.#rootRow[symbol] || -1;
    const first = this.#firstChild(node);
    if (first === 0) return -1;
    if (this.#symbol[first] === symbol) return first;
    return this.#sibling[first] === 0 ? -1 : this.#lookup(node, symbol);
  }

  /** The child that a node got first, or 0. */
  #firstChild(node: number): number {
    return this.#rows[node * ROW]!;
  }

  #append(parent: number, symbol: number): number {
    const node = this.#nodes++;
    if (node === NODES_MAX)
      throw new RangeError(`Cannot add a needle: the automaton holds its limit of ${NODES_MAX} nodes`);
    if (node === this.#depth.length) this.#grow();
    this.#depth[node] = this.#depth[parent]! + 1;
    this.#parent[node] = parent;
    this.#symbol[node] = symbol;
    if (parent === ROOT) {
      this.#rootRow[symbol] = node;
      return node;
    }
    const first = this.#firstChild(parent);
    if (first === 0) {
      this.#rows[parent * ROW] = node;
      this.#rows[parent * ROW + BY] = symbol + 1;
    } else {
      this.#rows[parent * ROW + BY]! |= SIBLINGS;
      this.#sibling[node] = this.#sibling[first]!;
      this.#sibling[first] = node;
      this.#insert(parent, symbol, node);
    }
    return node;
  }

  #grow(): void {
    const size = this.#depth.length * 2;
    const copy = (from: Int32Array, fill: number): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(size);
      if (fill !== 0) to.fill(fill, from.length);
      to.set(from);
      return to;
    };
    this.#depth = copy(this.#depth, 0);
    this.#parent = copy(this.#parent, 0);
    this.#sibling = copy(this.#sibling, 0);
    this.#own = copy(this.#own, -1);
    const rows = new Int32Array(size * ROW);
    rows.set(this.#rows);
    this.#rows = rows;
    const symbols = new Uint8Array(size);
    symbols.set(this.#symbol);
    this.#symbol = symbols;
  }

  #lookup(node: number, symbol: number): number {
    const mask = this.#tableKey.length - 1;
    const key = (node * 256 + symbol) | 0;
    for (let slot = Math.imul(key, HASH) >>> Math.clz32(mask); ; slot = (slot + 1) & mask) {
      const found = this.#tableKey[slot]!;
      if (found === key) return this.#tableNode[slot]!;
      if (found === -1) return -1;
    }
  }

  #insert(node: number, symbol: number, child: number): void {
    if (++this.#tableUsed * 2 > this.#tableKey.length) this.#rehash();
    this.#put((node * 256 + symbol) | 0, child);
  }

  #put(key: number, child: number): void {
    const mask = this.#tableKey.length - 1;
    let slot = Math.imul(key, HASH) >>> Math.clz32(mask);
    while (this.#tableKey[slot] !== -1) slot = (slot + 1) & mask;
    this.#tableKey[slot] = key;
    this.#tableNode[slot] = child;
  }

  #rehash(): void {
    const { keys, nodes } = { keys: this.#tableKey, nodes: this.#tableNode };
    this.#tableKey = new Int32Array(keys.length * 2).fill(-1);
    this.#tableNode = new Int32Array(keys.length * 2);
    for (let i = 0; i < keys.length; i++) if (keys[i] !== -1) this.#put(keys[i]!, nodes[i]!);
  }
}
