/**
 * What base64 shows of a value wherever it stands in a longer text: only characters that no neighbour has a part in.
 * At each end at most two characters with a few bits of the value stay outside.
 */

/** The core of the value at one of three alignments, and the core with the value at the end of the encoded text. */
export function base64Cores(value: Uint8Array): { core: string; tail: string }[] {
  const cores: { core: string; tail: string }[] = [];
  for (let before = 0; before < 3; before++) {
    const padded = new Uint8Array(before + value.length);
    padded.set(value, before);
    const encoded = Buffer.from(padded.buffer).toString("base64");
    const first = Math.ceil((before * 8) / 6);
    const core = encoded.slice(first, Math.floor((padded.length * 8) / 6));
    cores.push({ core, tail: encoded.slice(first) });
  }
  return cores;
}

export function toBase64Url(encoded: string): string {
  return encoded.replaceAll("+", "-").replaceAll("/", "_");
}
