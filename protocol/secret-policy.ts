/**
 * What may be done with a secret beyond knowing its name: whether its value enters the sandbox at all, which hosts it may
 * be sent to, where in a request a sealed one may stand, and which steps may refer to it. A policy belongs to one version
 * of a secret and is sealed with it. Imports nothing of ours beyond this folder.
 */
import { z } from "zod";
import { idSchema } from "./ids.ts";
import { networkRuleSchema, parseNetworkRule, ruleAllows } from "./network.ts";
import { actions } from "./roles.ts";
import { secretPointerSchema } from "./secret-source.ts";

/** What the egress broker can compute with a sealed value, for keys that sign and are not sent. */
const signAlgorithms = ["hmac", "aws-sigv4", "jwt"] as const;

const headerNameSchema = z
  .string()
  .max(100)
  .regex(/^(\*|[!#$%&'+.^_`|~0-9A-Za-z-]+)$/, "a header's name, or * for any")
  .transform((name) => name.toLowerCase());

/** Where in a request the value of a sealed secret may stand, and what may be signed with it. */
export const secretPlacesSchema = z.strictObject({
  /** Names of headers, or `*` for any. */
  headers: z.array(headerNameSchema).max(50).default(["authorization", "x-api-key"]),
  /** User or password of `Authorization: Basic`. */
  basic: z.boolean().default(true),
  path: z.boolean().default(false),
  query: z.boolean().default(false),
  /** JSON, form and text bodies. */
  body: z.boolean().default(false),
  sign: z.array(z.enum(signAlgorithms)).max(signAlgorithms.length).default([]),
});
export type SecretPlaces = z.infer<typeof secretPlacesSchema>;

export const secretPolicySchema = z
  .strictObject({
    /** A sealed value never enters the sandbox: the step holds a placeholder, and the broker puts the value in. */
    sealed: z.boolean().default(false),
    /** Rules as of a network policy. A sealed secret needs at least one; a readable one without any may go anywhere. */
    hosts: z.array(networkRuleSchema).max(100).default([]),
    places: secretPlacesSchema.prefault({}),
    /** Saved steps that may refer to it, by id; none: every step. */
    steps: z.array(idSchema).max(100).default([]),
    /** Agents and workforces whose steps may refer to it, by id; none: every step. */
    agents: z.array(idSchema).max(100).default([]),
    /** Roles of the people whose steps may refer to it; none: everybody's who may use secrets at all. */
    roles: z.array(z.enum(actions["secret.reference"].allowed)).max(10).default([]),
    /** Where the value is kept instead of here. */
    source: secretPointerSchema.optional(),
  })
  .refine(({ sealed, hosts }) => !sealed || hosts.length > 0, "a sealed secret needs the hosts that it is for");
export type SecretPolicy = z.infer<typeof secretPolicySchema>;
/** A policy as somebody writes it. */
export type SecretPolicyInput = z.input<typeof secretPolicySchema>;

export const readablePolicy: SecretPolicy = Object.freeze(secretPolicySchema.parse({}));

/** Fewer characters could be guessed from what an approved host does with them, and not be masked in its answers. */
export const sealedCharactersMin = 8;

/** Whether a secret may be sent to where a request goes; one without a list may. */
export function mayGoTo({ hosts }: Pick<SecretPolicy, "hosts">, method: string, url: URL): boolean {
  if (hosts.length === 0) return true;
  return hosts.some((text) => {
    const rule = parseNetworkRule(text);
    return rule !== undefined && ruleAllows(rule, method, url);
  });
}
