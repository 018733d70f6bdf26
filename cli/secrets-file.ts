/**
 * Reads a file of secrets for a command: `.env` lines or JSON, as docs/secrets-files.md has them. A wrong file is an error
 * that names each line or entry, never what stands in it. Holds no rule of the formats.
 */
import { SecretValue } from "../protocol/secret.ts";
import { parseSecretsText } from "../vault/secrets/secrets-text.ts";
import { throwSecretsFaults } from "../vault/secrets/secrets-text-faults.ts";
import { readText } from "./read-file.ts";

/** Throws ERR_FILE_UNREADABLE, ERR_SECRETS_TEXT_INVALID, or the code of the one fault that there is. */
export function readSecretsFile(file: string): SecretValue[] {
  const { entries, faults } = parseSecretsText(readText(file, "secrets file"));
  throwSecretsFaults(faults, "read the secrets file");
  return entries.map(({ name, value, policy }) => new SecretValue(name, value, policy));
}
