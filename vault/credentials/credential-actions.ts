/**
 * What can be done with credentials of integrations and model providers, by the names that the vault gives it.
 */
import { listCredentials, removeCredential, setCredential, switchCredential } from "./credentials.ts";
import { effectiveCredential, explainCredential, listEffective, resolveCredential } from "./effective.ts";
import { readCredentialSettings, setEditorsManage, setStanding } from "./gates.ts";
import { listInheritance, switchInheritance } from "./inheritance.ts";

export const credentialActions = {
  set: setCredential,
  switch: switchCredential,
  remove: removeCredential,
  list: listCredentials,
  effective: effectiveCredential,
  explain: explainCredential,
  listEffective,
  resolve: resolveCredential,
  setStanding,
  setEditorsManage,
  settings: readCredentialSettings,
  switchInheritance,
  listInheritance,
} as const;
