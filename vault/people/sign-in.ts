/**
 * Signing in with a link: the operator makes one for a person, it works once and soon, and gives a session. Two who present
 * the same link at once do so in one statement, which one of them wins. The token of a link is given once and stored
 * nowhere; how it reaches the person is the caller's matter.
 */
import { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import { type PeopleContext, recordRefusedSignIn, recordSignIn, requireOperator } from "./people-context.ts";
import { checkPersonId } from "../tenancy/members.ts";
import { insertSession, type Session } from "./sessions.ts";
import { createToken, digestsOf, matches } from "./sign-in-tokens.ts";

const signInLinkTimeMsMax = 15 * 60_000;
/** For as long a used link is told from one that was never made. */
const keptMs = 30 * 86_400_000;

interface LinkRow {
  id: string;
  personId: string;
  digest: Buffer;
  usedAt: Date | null;
  expiresAt: Date;
}

const columns = `id, person_id as "personId", digest, used_at as "usedAt", expires_at as "expiresAt"`;

/** Throws ERR_FORBIDDEN for anybody but the operator, ERR_NAME_INVALID for an id that no person can have. */
export async function createSignInLink(
  context: PeopleContext,
  { personId, now = new Date() }: { personId: string; now?: Date | undefined },
): Promise<{ token: string; expiresAt: Date }> {
  requireOperator(context, "make a sign-in link");
  checkPersonId(personId);
  const { token, digest, pepperVersion } = createToken(context.issuer.pepper, "sign-in link");
  const id = createId();
  const expiresAt = new Date(now.getTime() + signInLinkTimeMsMax);
  const target = [{ type: "sign-in-link", id }];
  await context.database.transaction(async (client) => {
    await client.query("delete from sign_in_links where expires_at < $1", [new Date(now.getTime() - keptMs)]);
    await client.query(
      `insert into sign_in_links (id, digest, pepper_version, person_id, created_at, expires_at)
       values ($1, $2, $3, $4, $5, $6)`,
      [id, digest, pepperVersion, personId, now, expiresAt],
    );
    await recordSignIn(context, client, { personId, event: "sign-in-link.create", target, actor: context.actor });
  });
  return { token, expiresAt };
}

/**
 * A session for a link, which is spent by it. Whoever acts: having the link is what counts. Throws
 * ERR_SIGN_IN_LINK_INVALID; that of a link that was once made leaves an event.
 */
export async function signIn(
  context: PeopleContext,
  { token, now = new Date() }: { token: string; now?: Date | undefined },
): Promise<{ token: string; session: Session }> {
  const digests = digestsOf(context.issuer.pepper, "sign-in link", token);
  if (digests.length === 0) throw refused("it does not have the form of one; it may have been cut");
  const signedIn = await context.database.transaction(async (client) => {
    const { rows } = await client.query<LinkRow>(
      `update sign_in_links set used_at = $2 where digest = any($1) and used_at is null and expires_at > $2
       returning ${columns}`,
      [digests, now],
    );
    const link = rows[0];
    if (link === undefined || !matches(digests, link.digest)) return undefined;
    const { personId } = link;
    const created = await insertSession(client, { pepper: context.issuer.pepper, personId, now });
    const target = [
      { type: "session", id: created.session.id },
      { type: "sign-in-link", id: link.id },
    ];
    await recordSignIn(context, client, { personId, event: "session.create", target });
    return created;
  });
  return signedIn ?? (await refuse(context, digests));
}

/** Why is told only to who has the link. */
async function refuse(context: PeopleContext, digests: readonly Buffer[]): Promise<never> {
  const { rows } = await context.database.query<LinkRow>(
    `select ${columns} from sign_in_links where digest = any($1)`,
    [digests],
  );
  const link = rows[0];
  if (link === undefined || !matches(digests, link.digest)) throw refused("there is no such link");
  const why =
    link.usedAt === null
      ? `its time was over at ${link.expiresAt.toISOString()}`
      : `it was used at ${link.usedAt.toISOString()}, and works once`;
  const error = refused(why);
  const target = [{ type: "sign-in-link", id: link.id }];
  await recordRefusedSignIn(context, error, { personId: link.personId, event: "sign-in-link.presented", target });
  throw error;
}

function refused(why: string): StepvaultError {
  return new StepvaultError("ERR_SIGN_IN_LINK_INVALID", `Cannot sign in with the link: ${why}`);
}
