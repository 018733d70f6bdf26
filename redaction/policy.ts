/**
 * Which values are masked where: the one place that decides about short and common values.
 *
 * A short or common value that is masked everywhere spoils the log and so shows what it is; a long one that is not
 * masked is a leak. Below four characters nothing is masked; what a guesser would find within some 2^20 tries is masked
 * only where it stands as a value of its own; everything else is masked wherever it occurs.
 */

export type Exposure = "never" | "token" | "anywhere";

/** 4 and not 3: three characters occur in any text, so a mask would tell more than the value does. */
const LENGTH_MIN = 4;
const LENGTH_ANYWHERE = 8;
const ENTROPY_ANYWHERE_BITS = 20;
const LINE_ENTROPY_BITS = 34;

/** Common values of settings and the words that passwords are made of. */
const COMMON = new Set(
  (
    "true false null none undefined test tests testing debug info warn warning error trace default example sample demo " +
    "admin administrator root user users guest owner name username password passwd passphrase secret secrets token " +
    "tokens apikey private public master main local localhost remote server client service production prod staging " +
    "development docker kubernetes postgres postgresql mysql mariadb redis mongodb rabbitmq elastic elasticsearch " +
    "kafka nginx apache node python java javascript typescript github gitlab google amazon azure windows linux ubuntu " +
    "debian alpine letmein welcome qwerty monkey dragon football baseball sunshine princess shadow hello world " +
    "changeme changeit access account backup build cache config configuration content data database deploy download " +
    "email enabled disabled file folder http https image index internal latest level library login message module " +
    "network number object package path port profile project query release request response result runtime schema " +
    "session settings source start started status stop stopped storage string system temp template update upload " +
    "value version volume worker workflow backstage airflow jenkins"
  ).split(" "),
);

/** Decides where a value is masked. */
export function exposureOf(value: string): Exposure {
  const trimmed = value.trim();
  const length = Array.from(trimmed).length;
  if (length < LENGTH_MIN) return "never";
  if (!/[\p{L}\p{N}]/u.test(trimmed)) return length < LENGTH_ANYWHERE ? "token" : "anywhere";
  if (length < LENGTH_ANYWHERE) return "token";
  return entropyBits(trimmed) < ENTROPY_ANYWHERE_BITS ? "token" : "anywhere";
}

/** Whether a line of a multi-line value is secret by itself: not a brace, a key's header or a plain word. */
export function isSecretLine(line: string): boolean {
  const trimmed = line.trim();
  if (/^-{2,}.*-{2,}$/.test(trimmed) || !/[\p{L}\p{N}]/u.test(trimmed)) return false;
  return Array.from(trimmed).length >= LENGTH_ANYWHERE && entropyBits(trimmed) >= LINE_ENTROPY_BITS;
}

/**
 * A cautious estimate of how hard a value is to guess. A word that everybody knows counts as one choice among a
 * thousand, other words by their length as plain language; repeated and consecutive characters add little, others what
 * the alphabet they come from allows.
 */
function entropyBits(value: string): number {
  let bits = 0;
  const known = value.replaceAll(/[a-zA-Z]{4,}/g, (word) => {
    if (!COMMON.has(word.toLowerCase())) return word;
    bits += 10;
    return "\0";
  });
  const rest = known.replaceAll(/\b[A-Z]?[a-z]{2,10}\b ?/g, (word) => {
    bits += word.trim().length * 2.6;
    return "\0";
  });
  const perCharacter = Math.log2(alphabetSize(rest));
  let before = -2;
  for (const character of rest) {
    const code = character.codePointAt(0)!;
    if (code > 32) bits += Math.abs(code - before) <= 1 ? 2.5 : perCharacter;
    before = code;
  }
  return bits;
}

function alphabetSize(value: string): number {
  let size = 0;
  if (/\p{Ll}/u.test(value)) size += 26;
  if (/\p{Lu}/u.test(value)) size += 26;
  if (/\p{N}/u.test(value)) size += 10;
  if (/[^\p{L}\p{N}\0]/u.test(value)) size += 16;
  return Math.max(2, size);
}
