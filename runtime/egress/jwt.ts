/**
 * A signed JSON Web Token in its compact form (RFC 7519, RFC 7515), by HS256, RS256 or ES256 (RFC 7518 section 3). The
 * algorithm comes from the options and the kind of key must fit, so that neither a header nor a public key can change what
 * a signature means. Keys are PEM and nothing else: fewer spellings, clearer refusals. Imports the protocol and the
 * bridge's types only.
 */
import { createHmac, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import { StepvaultError } from "../../protocol/error.ts";
import type { JwtOptions } from "../bridge/sign.ts";

/** On Node's thread pool: RSA takes milliseconds, in which the worker must not stand still. */
const signInPool = promisify(sign);

const modulusBitsMin = 2_048;
/** A longer one would hold a thread for seconds. */
const modulusBitsMax = 8_192;

/** Labels of PKCS#8, PKCS#1 and SEC1. */
const privateLabels = new Set(["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]);

/**
 * `header.claims.signature`, each base64url. The header has `alg` and `typ: "JWT"` and what else the options give; ES256's
 * signature is r and s, 32 bytes each. Throws ERR_SIGN_INVALID when the key is none that the type needs.
 */
export async function signJwt(key: string, { type, header, claims }: JwtOptions): Promise<string> {
  const fixed = { alg: type, typ: "JWT" };
  // First for the order that people expect, last so that nothing overrides it.
  const input = `${encodeJson({ ...fixed, ...header, ...fixed })}.${encodeJson(claims)}`;
  const signature =
    type === "HS256"
      ? createHmac("sha256", key).update(input).digest()
      : await signInPool("sha256", Buffer.from(input), { key: readKey(key, type), dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

const encodeJson = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function readKey(text: string, type: "RS256" | "ES256"): KeyObject {
  const refuse = (reason: string): never => {
    throw new StepvaultError("ERR_SIGN_INVALID", `Cannot sign with ${type}: ${reason}`);
  };
  const key = parsePem(text, refuse);
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (type === "ES256") {
    return namedCurve === "prime256v1" ? key : refuse("the secret is no EC key on the curve P-256");
  }
  if (key.asymmetricKeyType !== "rsa") refuse("the secret is no RSA key");
  if (modulusLength < modulusBitsMin || modulusLength > modulusBitsMax) {
    refuse(`the key has ${modulusLength} bits, and ${modulusBitsMin} to ${modulusBitsMax} are allowed`);
  }
  return key;
}

/** Takes one private key; parameters of its curve may stand before it, as `openssl ecparam` writes them. */
function parsePem(text: string, refuse: (reason: string) => never): KeyObject {
  // Keys pasted from JSON have a backslash and a letter for each end of a line.
  const pem = text.replaceAll("\\r", "").replaceAll("\\n", "\n");
  const blocks = [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].filter(([, label]) => label !== "EC PARAMETERS");
  const [block] = blocks;
  if (block === undefined || blocks.length > 1) {
    return refuse(`the secret must hold one PEM block and holds ${blocks.length}`);
  }
  const [, label = ""] = block;
  if (label.startsWith("ENCRYPTED ") || pem.includes("Proc-Type: 4,ENCRYPTED")) {
    return refuse("the key is encrypted; store it without a passphrase");
  }
  if (!privateLabels.has(label)) return refuse("the PEM block is no private key of PKCS#8, PKCS#1 or SEC1");
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's own text may quote what it read.
    return refuse("the private key cannot be read");
  }
}
