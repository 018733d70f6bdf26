/** What the `Vault` offers of people: signing in and out, and what they have a part in. */
import { ensureLocalOwner } from "./local-owner.ts";
import { listMemberships, locateProject } from "./memberships.ts";
import { checkSession, endSessions, listSessions } from "./sessions.ts";
import { createSignInLink, signIn } from "./sign-in.ts";

export const peopleActions = {
  createSignInLink,
  signIn,
  checkSession,
  listSessions,
  endSessions,
  memberships: listMemberships,
  locateProject,
  ensureLocalOwner,
} as const;
