/** Ways to cut a text into the writes of a stream, repeatable by seed. */

export function randomOf(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b9;
  return () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    state = Math.imul(state ^ (state >>> 12), 0x297a2d39);
    state ^= state >>> 15;
    return (state >>> 0) / 2 ** 32;
  };
}

export function randomCuts(length: number, seed: number): number[] {
  const random = randomOf(seed);
  const count = 1 + Math.floor(random() * 8);
  return Array.from({ length: count }, () => Math.floor(random() * (length + 1))).sort((a, b) => a - b);
}

export function cutAt(text: string, cuts: readonly number[]): string[] {
  return [0, ...cuts].map((from, i) => text.slice(from, cuts[i] ?? text.length));
}
