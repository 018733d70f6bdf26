/**
 * Finds what looks like a key among a command's arguments, which other users of the machine can read and shells write down.
 * It catches the usual forms of keys and misses any other text: it is a net under a slip, and no proof. Imports no command.
 */
import { StepvaultError } from "../protocol/error.ts";

const forms: readonly RegExp[] = [
  /(?<![A-Za-z0-9])(?:sk|rk|pk|ek)[-_](?:[a-z]{2,5}[-_])*[A-Za-z0-9_-]{16,}/,
  /(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|hf_|npm_|AIza|ya29\.)[A-Za-z0-9_-]{16,}/,
  /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/,
  /(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\./,
  /-----BEGIN [A-Z ]*PRIVATE KEY/,
  /\bbearer\s+[A-Za-z0-9._~+/-]{16,}/i,
  /:\/\/[^\s/@:]*:[^\s/@]+@/,
];

/** Throws ERR_ARGUMENT_SECRET, which tells the place of the argument and nothing of it. */
export function refuseSecrets(args: readonly string[]): void {
  const place = args.findIndex((text) => forms.some((form) => form.test(text)));
  if (place < 0) return;
  throw new StepvaultError(
    "ERR_ARGUMENT_SECRET",
    `Cannot take argument ${place + 1}: it looks like a key, and arguments can be read by others`,
  );
}
