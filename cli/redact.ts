/** `stepvault redact`: a filter for any shell pipe. Bytes in, the same bytes out, with every form of every secret replaced. */
import { pipeline } from "node:stream/promises";
import { createRedactor } from "../redaction/redactor.ts";
import type { Given } from "./given.ts";
import { readSecretsFile } from "./secrets-file.ts";

export async function redactCommand(given: Given): Promise<void> {
  const secrets = readSecretsFile(given.required("secrets")).map((secret) => ({
    name: secret.name,
    value: secret.expose(),
  }));
  try {
    await pipeline(process.stdin, createRedactor(secrets).transform(), process.stdout);
  } catch (error) {
    // Whoever reads has seen enough, or the disk is full, which is told for every command.
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall !== "write" && code !== "EPIPE" && code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}
