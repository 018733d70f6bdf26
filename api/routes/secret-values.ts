/**
 * Values and policies of secrets: each change is the next version. A value comes in by `setSecret` and goes out by
 * `revealSecret`, which the vault tells in the audit log first.
 */
import type { FastifyReply } from "fastify";
import type { z } from "zod";
import {
  revealedSchema,
  revealInput,
  rollbackInput,
  secretInput,
  secretNames,
  secretPolicyInput,
  storedSchema,
} from "../../protocol/http/secrets.ts";
import { etagOf } from "../etag.ts";
import type { Route } from "../route.ts";
import { forBothPlaces } from "./secret-places.ts";

export const secretValueRoutes: readonly Route[] = [
  ...forBothPlaces({
    method: "PUT",
    path: "/secrets/:secretName",
    operationId: "setSecret",
    summary: "Store a value, or where it is kept, as the next version of a secret",
    description: "Makes the secret where it is new (201), and restores one that was deleted.",
    names: secretNames,
    body: secretInput,
    responses: { 200: storedSchema, 201: storedSchema },
    compares: true,
    repeatable: false,
    async handler({ vault, place, params, body, ifVersion, reply }) {
      const name = params.secretName;
      const version = await vault.secrets.set({ place, name, ...body, ifVersion });
      if (version === 1) reply.code(201);
      return stored(reply, { name, version });
    },
  }),
  ...forBothPlaces({
    method: "PUT",
    path: "/secrets/:secretName/policy",
    operationId: "setSecretPolicy",
    summary: "Store the same value with another policy as the next version of a secret",
    description: "A sealed secret does not become readable by it: set its value again, with a readable policy.",
    names: secretNames,
    body: secretPolicyInput,
    responses: { 200: storedSchema },
    compares: true,
    repeatable: false,
    async handler({ vault, place, params, body, ifVersion, reply }) {
      const name = params.secretName;
      const version = await vault.secrets.setPolicy({ place, name, policy: body, ifVersion });
      return stored(reply, { name, version });
    },
  }),
  ...forBothPlaces({
    method: "POST",
    path: "/secrets/:secretName/rollback",
    operationId: "rollbackSecret",
    summary: "Store value and policy of an earlier version as the next version of a secret",
    names: secretNames,
    body: rollbackInput,
    responses: { 200: storedSchema },
    compares: true,
    async handler({ vault, place, params, body, ifVersion, reply }) {
      const name = params.secretName;
      const version = await vault.secrets.rollback({ place, name, toVersion: body.toVersion, ifVersion });
      return stored(reply, { name, version });
    },
  }),
  ...forBothPlaces({
    method: "POST",
    path: "/secrets/:secretName/reveal",
    operationId: "revealSecret",
    summary: "Show a value to a person who may see it; the audit log tells who saw it",
    names: secretNames,
    body: revealInput,
    responses: { 200: revealedSchema },
    async handler({ vault, place, params, body }) {
      const value = await vault.secrets.reveal({ place, name: params.secretName, version: body.version });
      // The vault says which version it opened.
      return { name: value.name, version: value.version!, value: value.expose() };
    },
  }),
];

function stored(reply: FastifyReply, answer: z.output<typeof storedSchema>): z.output<typeof storedSchema> {
  reply.header("etag", etagOf(answer.version));
  return answer;
}
