/**
 * Sessions of people: made by a sign-in, ended by signing out, 12 hours after their last use or 7 days after their begin.
 * Each is asked about at every use, so that one that was ended stops at once; the price is a statement per request. Of a
 * session's token only a digest is stored.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId, idSchema } from "../../protocol/ids.ts";
import type { Pepper } from "../platform-keys/key-format.ts";
import { type PeopleContext, recordSignIn, requireSelf } from "./people-context.ts";
import { createToken, digestsOf, matches } from "./sign-in-tokens.ts";

const sessionIdleMsMax = 12 * 3_600_000;
export const sessionTimeMsMax = 7 * 86_400_000;

export interface Session {
  readonly id: string;
  readonly personId: string;
  readonly createdAt: Date;
  /** To the minute. */
  readonly lastSeenAt: Date;
  /** Whatever is done with it; sooner when it is not used. */
  readonly endsAt: Date;
}

interface SessionRow extends Session {
  readonly digest: Buffer;
  readonly endedAt: Date | null;
}

const columns = `id, person_id as "personId", created_at as "createdAt", last_seen_at as "lastSeenAt", ends_at as "endsAt",
  digest, ended_at as "endedAt"`;

/** Call it in the transaction of a sign-in. `token` is given here and nowhere else. */
export async function insertSession(
  client: Queryable,
  { pepper, personId, now }: { pepper: Pepper; personId: string; now: Date },
): Promise<{ token: string; session: Session }> {
  const { token, digest, pepperVersion } = createToken(pepper, "session");
  const endsAt = new Date(now.getTime() + sessionTimeMsMax);
  const session = { id: createId(), personId, createdAt: now, lastSeenAt: minuteOf(now), endsAt };
  // Nobody asks about one that is over; the log has its begin and its end.
  await client.query("delete from sessions where ends_at < $1", [now]);
  await client.query(
    `insert into sessions (id, digest, pepper_version, person_id, created_at, last_seen_at, ends_at)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [session.id, digest, pepperVersion, personId, now, session.lastSeenAt, endsAt],
  );
  return { token, session };
}

/** Whose session a presented token is, whoever acts. Throws ERR_UNAUTHENTICATED for one that does not work, and never says why. */
export async function checkSession(
  { database, issuer }: PeopleContext,
  { token, now = new Date() }: { token: string; now?: Date | undefined },
): Promise<Session> {
  const digests = digestsOf(issuer.pepper, "session", token);
  if (digests.length === 0) throw unauthenticated();
  const { rows } = await database.query<SessionRow>(`select ${columns} from sessions where digest = any($1)`, [
    digests,
  ]);
  const row = rows[0];
  if (row === undefined || !matches(digests, row.digest) || !isAlive(row, now)) throw unauthenticated();
  return await touch(database, sessionOf(row), now);
}

/** The sessions of a person that work, the latest first. Throws ERR_FORBIDDEN for another person's. */
export async function listSessions(
  context: PeopleContext,
  { personId, now = new Date() }: { personId: string; now?: Date | undefined },
): Promise<Session[]> {
  requireSelf(context, personId, "list the sessions");
  const { rows } = await context.database.query<SessionRow>(
    `select ${columns} from sessions where person_id = $1 and ended_at is null order by id desc`,
    [personId],
  );
  return rows.filter((row) => isAlive(row, now)).map(sessionOf);
}

/**
 * Ends a person's sessions, all or one of them, and gives the number of those that were not ended before. Throws
 * ERR_FORBIDDEN for another person's.
 */
export async function endSessions(
  context: PeopleContext,
  {
    personId,
    sessionId,
    now = new Date(),
  }: { personId: string; sessionId?: string | undefined; now?: Date | undefined },
): Promise<number> {
  requireSelf(context, personId, "end the sessions");
  const id = sessionId === undefined ? null : idSchema.safeParse(sessionId).data;
  if (id === undefined) return 0;
  return await context.database.transaction(async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `update sessions set ended_at = $3 where person_id = $1 and ($2::uuid is null or id = $2) and ended_at is null
       returning id`,
      [personId, id, now],
    );
    const target = rows.map((row) => ({ type: "session", id: row.id }));
    if (target.length > 0)
      await recordSignIn(context, client, { personId, event: "session.end", target, actor: context.actor });
    return target.length;
  });
}

function isAlive({ endedAt, endsAt, lastSeenAt }: SessionRow, now: Date): boolean {
  const idleAt = lastSeenAt.getTime() + sessionIdleMsMax;
  return endedAt === null && endsAt > now && idleAt > now.getTime();
}

/** At most one write a minute, and none that goes back. */
async function touch(database: Queryable, session: Session, now: Date): Promise<Session> {
  const minute = minuteOf(now);
  if (session.lastSeenAt >= minute) return session;
  await database.query("update sessions set last_seen_at = $2 where id = $1 and last_seen_at < $2", [
    session.id,
    minute,
  ]);
  return { ...session, lastSeenAt: minute };
}

function sessionOf({ id, personId, createdAt, lastSeenAt, endsAt }: SessionRow): Session {
  return { id, personId, createdAt, lastSeenAt, endsAt };
}

function minuteOf(now: Date): Date {
  return new Date(Math.floor(now.getTime() / 60_000) * 60_000);
}

function unauthenticated(): StepvaultError {
  return new StepvaultError("ERR_UNAUTHENTICATED", "Cannot use the session: it is over, or there is no such session");
}
