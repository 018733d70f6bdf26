/** What runs each command of the table. Loaded only when it is called, so that help and completion are quick. */
import type { Given } from "./given.ts";

/** Does one action and gives an exit code where it is not that of success. */
export type Handler = (given: Given) => Promise<number | void>;
export type Handlers = Readonly<Record<string, Handler>>;

export const loaders: Readonly<Record<string, () => Promise<Handlers>>> = {
  start: async () => ({ "": (await import("./start.ts")).startCommand }),
  worker: async () => ({ "": (await import("./start.ts")).workerCommand }),
  api: async () => ({ "": (await import("./start.ts")).apiCommand }),
  mcp: async () => ({ "": (await import("./mcp.ts")).mcpCommand }),
  demo: async () => ({ "": (await import("./demo.ts")).demoCommand }),
  doctor: async () => ({ "": (await import("./doctor.ts")).doctorCommand }),
  runs: async () => (await import("./runs.ts")).runsHandlers,
  steps: async () => (await import("./steps.ts")).stepsHandlers,
  schedules: async () => (await import("./schedules.ts")).schedulesHandlers,
  organizations: async () => (await import("./places.ts")).organizationsHandlers,
  projects: async () => (await import("./places.ts")).projectsHandlers,
  members: async () => (await import("./members.ts")).membersHandlers,
  agents: async () => (await import("./agents.ts")).agentsHandlers,
  credentials: async () => (await import("./credentials.ts")).credentialsHandlers,
  secrets: async () => (await import("./secrets.ts")).secretsHandlers,
  leaks: async () => (await import("./leaks.ts")).leaksHandlers,
  audit: async () => (await import("./audit.ts")).auditHandlers,
  keys: async () => (await import("./keys.ts")).keysHandlers,
  "embed-keys": async () => (await import("./agents.ts")).embedKeysHandlers,
  "root-key": async () => (await import("./root-key.ts")).rootKeyHandlers,
  "sign-in": async () => (await import("./sign-in.ts")).signInHandlers,
  sessions: async () => (await import("./sign-in.ts")).sessionsHandlers,
  run: async () => ({ "": (await import("./run.ts")).runCommand }),
  redact: async () => ({ "": (await import("./redact.ts")).redactCommand }),
  packages: async () => (await import("./packages.ts")).packagesHandlers,
  completion: async () => ({ "": (await import("./completion.ts")).completionCommand }),
  help: async () => ({ "": (await import("./help.ts")).helpCommand }),
};
