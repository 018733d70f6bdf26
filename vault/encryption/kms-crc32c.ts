/**
 * CRC-32C (Castagnoli) as Google Cloud KMS uses it to notice bytes that changed on their way: no protection from anybody.
 * Bit by bit, as what is summed is a key or its blob. Node's zlib has another polynomial.
 */
export function crc32c(bytes: Uint8Array): number {
  let sum = 0xff_ff_ff_ff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (0x82_f6_3b_78 & -(sum & 1));
  }
  return (sum ^ 0xff_ff_ff_ff) >>> 0;
}
