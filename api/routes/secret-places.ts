/**
 * Routes on secrets are the same for a project and for an organization: each is defined once, here it becomes two. Versions
 * are compared by the vault itself, in the transaction that changes them; so conditions are one version or none, and a route
 * that compares no versions refuses them instead of going ahead without.
 */
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { givenId } from "../../protocol/http/common.ts";
import type { Place } from "../../vault/tenancy/authorize.ts";
import { Refusal } from "../refusal.ts";
import type { Method, Route, RouteDefinition } from "../route.ts";

type Names = Readonly<Record<string, z.ZodType>>;
type Schema = z.ZodType | undefined;
type Answers = Readonly<Record<number, z.ZodType>>;

type Handler<Name extends Names, Query extends Schema, Body extends Schema, Answer extends Answers> = RouteDefinition<
  z.ZodObject<Name>,
  Query,
  Body,
  Answer,
  "principal"
>["handler"];

interface AtPlace {
  readonly place: Place;
  /** Of a route that compares versions: the one that the caller expects, 0 for none. */
  readonly ifVersion: number | undefined;
}

interface PairDefinition<Name extends Names, Query extends Schema, Body extends Schema, Answer extends Answers> {
  readonly method: Method;
  /** Below the place. */
  readonly path: `/secrets${string}`;
  /** A project's; an organization's has `Organization` before `Secret`. */
  readonly operationId: `${string}Secret${string}`;
  readonly summary: string;
  readonly description?: string;
  /** The parts of the path. */
  readonly names: Name;
  readonly query?: Query;
  readonly body?: Body;
  readonly responses: Answer;
  /** Whether If-Match and If-None-Match are heeded; else they are refused where something is changed. */
  readonly compares?: boolean;
  readonly repeatable?: false;
  readonly bodyBytesMax?: number;
  readonly handler: (
    context: Parameters<Handler<Name, Query, Body, Answer>>[0] & AtPlace,
  ) => ReturnType<Handler<Name, Query, Body, Answer>>;
}

const places = [
  { path: "/v1/projects/:projectId", of: "", params: { projectId: givenId } },
  { path: "/v1/organizations/:organizationId", of: "Organization", params: { organizationId: givenId } },
] as const;

const conditionNote =
  'If-Match: "<version>" changes it only at that version, If-None-Match: * only if it is not there; else 412. Without ' +
  "either, the same request sent twice makes two versions.";

/** The route for secrets of a project, and the one for those of an organization. */
export function forBothPlaces<
  Name extends Names,
  Answer extends Answers,
  Query extends Schema = undefined,
  Body extends Schema = undefined,
>(definition: PairDefinition<Name, Query, Body, Answer>): Route[] {
  const { names, compares = false, path, operationId, summary, description, handler, ...rest } = definition;
  const notes = [description, compares ? conditionNote : undefined].filter((note) => note !== undefined);
  return places.map(({ path: prefix, of, params }): Route => {
    const route = {
      ...rest,
      path: `${prefix}${path}`,
      operationId: operationId.replace("Secret", `${of}Secret`),
      summary: of === "" ? summary : `${summary} (of an organization)`,
      ...(notes.length > 0 && { description: notes.join(" ") }),
      tag: "secrets",
      params: z.strictObject({ ...params, ...names }),
      access: "principal",
      async handler(context: Parameters<typeof handler>[0] & { params: Record<string, string> }) {
        const { projectId, organizationId } = context.params;
        const place = organizationId === undefined ? { projectId: projectId! } : { organizationId };
        return await handler({ ...context, place, ifVersion: expectedVersion(context.request, compares) });
      },
    };
    return route as unknown as Route;
  });
}

const versionTag = /^"([1-9]\d{0,9})"$/;

/** Throws ERR_REQUEST_INVALID for conditions that cannot be heeded. */
function expectedVersion({ headers, method }: FastifyRequest, compares: boolean): number | undefined {
  if (method === "GET" || method === "HEAD") return undefined;
  const { "if-match": match, "if-none-match": noneMatch } = headers;
  if (match === undefined && noneMatch === undefined) return undefined;
  if (!compares)
    throw condition(match === undefined ? "if-none-match" : "if-match", "absent: the route compares no versions");
  if (match === undefined) {
    if (noneMatch === "*") return 0;
    throw condition("if-none-match", "*");
  }
  if (noneMatch !== undefined) throw condition("if-none-match", "absent where there is If-Match");
  const version = versionTag.exec(match)?.[1];
  if (version === undefined) throw condition("if-match", 'one ETag of the secret, such as "3"');
  return Number(version);
}

function condition(header: string, rule: string): Refusal {
  return new Refusal("ERR_REQUEST_INVALID", "Cannot accept the request: its condition cannot be heeded", {
    errors: [{ pointer: `/headers/${header}`, detail: `must be ${rule}` }],
  });
}
