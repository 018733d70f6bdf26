/**
 * Who asks the vault for something. The deployment itself may do everything; a person what their roles allow, a platform
 * key what its scopes allow in the projects that it covers.
 */
import type { KeyScope } from "../../protocol/roles.ts";

export interface SystemActor {
  readonly kind: "system";
  /** What of the deployment: a command, a worker. */
  readonly id: string;
}

export interface PersonActor {
  readonly kind: "person";
  readonly id: string;
}

export interface KeyActor {
  readonly kind: "key";
  readonly id: string;
  readonly organizationId: string;
  /** The projects that the key covers. */
  readonly projects: "all" | readonly string[];
  readonly scopes: readonly KeyScope[];
}

export type Actor = SystemActor | PersonActor | KeyActor;

/** The operator at the command line, and whatever else has the database's and the master key's own rights. */
export const operator: SystemActor = { kind: "system", id: "operator" };
