/** `npm run kernel` compiles redaction/kernel.wat into redaction/kernel-bytes.ts, which is what the program loads. */
import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

const folder = new URL("../redaction/", import.meta.url);

export async function compiledKernel(): Promise<Buffer> {
  const source = readFileSync(new URL("kernel.wat", folder), "utf8");
  const module = (await wabt()).parseWat("kernel.wat", source, { simd: true });
  module.resolveNames();
  module.validate();
  return Buffer.from(module.toBinary({}).buffer);
}

if (import.meta.main) {
  const lines = (await compiledKernel()).toString("base64").match(/.{1,100}/g)!;
  const text = `/** kernel.wat, compiled by \`npm run kernel\`. Written in base64, so that no build step has to copy it. */
export const kernelBytes = Buffer.from(
${lines.map((line) => `  "${line}"`).join(" +\n")},
  "base64",
);
`;
  writeFileSync(new URL("kernel-bytes.ts", folder), text);
}
