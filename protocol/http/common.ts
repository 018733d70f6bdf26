/**
 * What the routes of the HTTP API have in common: names of things, times, pages of lists, problems. A schema with an id is a
 * named component of the OpenAPI document. Answers have no transforms, since they are encoded by the same schema that a
 * client decodes them with. Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { idSchema } from "../ids.ts";

/** An id as a caller gives it. */
export const givenId = idSchema;

/** An id as the API shows it. */
export const shownId = z.uuid();

/** An offset may lead out of the years that a text of four digits can name. */
const shownTime = z.date().refine((time) => {
  const year = time.getUTCFullYear();
  return year >= 1 && year <= 9999;
}, "in the years 1 to 9999 of UTC");

/** A moment: an ISO text on the wire, a Date in the service. */
export const moment = z.codec(z.iso.datetime({ offset: true }), shownTime, {
  decode: (text) => new Date(text),
  encode: (time) => time.toISOString(),
});

/** Text that PostgreSQL can hold: Unicode without NUL. */
export function textSchema({ charactersMax }: { charactersMax: number }): z.ZodString {
  return z
    .string()
    .min(1)
    .max(charactersMax)
    .refine((text) => text.isWellFormed() && !text.includes("\0"), "Unicode text without NUL");
}

const pageSizeMax = 100;

/** The query of every list. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(pageSizeMax).default(50).describe("Entries on a page"),
  cursor: z
    .string()
    .min(1)
    .max(1_000)
    .optional()
    .describe("`pagination.cursor` of the page before; without one the list begins"),
});
export type PageQuery = z.output<typeof pageQuery>;

export const paginationSchema = z
  .object({
    cursor: z.string().optional().describe("Where the next page begins; absent on the last one"),
    hasMore: z.boolean(),
  })
  .meta({ id: "Pagination" });

/** A page of a list; `id` names it in the OpenAPI document. */
export function pageOf<Item extends z.ZodType>(
  item: Item,
  id: string,
): z.ZodObject<{ data: z.ZodArray<Item>; pagination: typeof paginationSchema }> {
  return z.object({ data: z.array(item), pagination: paginationSchema }).meta({ id });
}

/** The answer of what has nothing to say: status 204. */
export const noContent = z.undefined();

export const problemSchema = z
  .object({
    type: z.literal("about:blank"),
    title: z.string().describe("The status in words"),
    status: z.int().min(400).max(599),
    detail: z.string().describe("What could not be done and why, for people; never a value"),
    instance: z.string().describe("This very answer: `urn:stepvault:request:` with the request's id"),
    code: z
      .string()
      .regex(/^ERR_[A-Z0-9_]+$/)
      .describe("What programs decide by; docs/errors.md lists every one"),
    requestId: z.string(),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe("JSON pointer into { path, query, headers, body } of the request"),
          detail: z.string(),
        }),
      )
      .optional()
      .describe("Each place of the request that does not match its schema"),
  })
  .meta({ id: "Problem", description: "Why a request failed, as RFC 9457 has it" });
export type Problem = z.output<typeof problemSchema>;
