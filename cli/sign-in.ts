/** `stepvault sign-in` and `stepvault sessions`: links to sign in with, and who is signed in, as the operator. */
import { ownOriginOf } from "../api/principals/own-origin.ts";
import { signInLink } from "../api/principals/sign-in-page.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { Vault } from "../vault/vault.ts";
import type { Handlers } from "./commands.ts";
import { readSettings } from "./environment.ts";
import { type Given, UsageError } from "./given.ts";
import { print, printDone } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const signInHandlers: Handlers = {
  async ""(given) {
    const origin = originOf(given.text("url"), readSettings());
    const { token, expiresAt, personId } = await withVault(async (vault) => {
      const person = await personOf(vault, given);
      return { personId: person, ...(await vault.people.createSignInLink({ personId: person })) };
    });
    const link = signInLink(origin, token);
    printDone(
      given,
      { personId, link, expiresAt },
      { note: `for ${personId}, once, until ${expiresAt.toISOString()}`, data: link },
    );
  },
};

export const sessionsHandlers: Handlers = {
  async list(given) {
    const sessions = await withVault(
      async (vault) => await vault.people.listSessions({ personId: await personOf(vault, given) }),
    );
    print<(typeof sessions)[number]>(sessions, {
      json: given.json,
      head: ["id", "created", "last seen", "ends"],
      cells: ({ id, createdAt, lastSeenAt, endsAt }) => [
        id,
        createdAt.toISOString(),
        lastSeenAt.toISOString(),
        endsAt.toISOString(),
      ],
    });
  },
  async end(given) {
    const sessionId = given.text("session");
    const ended = await withVault(
      async (vault) => await vault.people.endSessions({ personId: await personOf(vault, given), sessionId }),
    );
    printDone(given, { ended }, { note: `ended: ${ended}` });
  },
};

async function personOf(vault: Vault, given: Given): Promise<string> {
  return given.operands[0] ?? (await vault.people.ensureLocalOwner()).personId;
}

/** Throws UsageError, ERR_SIGN_IN_OFF where no session could be kept. */
function originOf(url: string | undefined, { api }: Config): string {
  if (url !== undefined && URL.parse(url) === null) throw new UsageError("--url is the address of the API");
  if (url === undefined && api.publicUrl === undefined && api.port === 0)
    throw new UsageError("--url is missing: the settings leave the API's port open");
  const origin = ownOriginOf({ ...api, ...(url !== undefined && { publicUrl: url }) })?.origins[0];
  if (origin !== undefined) return origin;
  throw new StepvaultError("ERR_SIGN_IN_OFF", "Cannot make a sign-in link: without TLS it works on loopback only");
}
