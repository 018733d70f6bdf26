/** `stepvault redact`: a filter for any shell pipe. Bytes in, the same bytes out, with every form of every secret replaced. */
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { createRedactor } from "../redaction/redactor.ts";
import { readSecretsFile } from "./secrets-file.ts";
import { exitCodes, note } from "./terminal.ts";

export const redactUsage = `stepvault redact --secrets FILE < in > out

Copies stdin to stdout and replaces each secret of FILE, in any encoding, by [REDACTED:name].

  --secrets FILE        secrets as a JSON object or .env lines

Example: ./deploy.sh 2>&1 | stepvault redact --secrets .env`;

export async function redactCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { secrets: { type: "string" } } });
  if (values.secrets === undefined) {
    note(redactUsage);
    return exitCodes.usage;
  }
  const secrets = readSecretsFile(values.secrets).map((secret) => ({ name: secret.name, value: secret.expose() }));
  await pipeline(process.stdin, createRedactor(secrets).transform(), process.stdout);
  return exitCodes.success;
}
