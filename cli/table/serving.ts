/** Commands that serve, and those that look at the machine: entries of the table of commands. Data only. */
import type { CommandEntry } from "./types.ts";

const stopping = `Settings are STEPVAULT_* variables; docs/configuration.md lists them. SIGTERM stops it: running steps have
STEPVAULT_SHUTDOWN_MS_MAX to end, a second SIGTERM hurries.`;

export const servingCommands: readonly CommandEntry[] = [
  {
    name: "start",
    summary: "everything in one process: database, queue, worker, API",
    actions: [
      {
        name: "",
        summary: "Starts everything in one process",
        more: `The embedded PostgreSQL (or STEPVAULT_DATABASE_URL), the queue, a worker and the API. Without an issuer of tokens
(STEPVAULT_OIDC_ISSUER) it prints a link to sign in with, once, within 15 minutes.
${stopping}`,
        json: false,
        examples: ["STEPVAULT_API_PORT=8484 stepvault start"],
      },
    ],
  },
  {
    name: "worker",
    summary: "a worker alone",
    actions: [
      {
        name: "",
        summary: "Starts a worker: it runs steps that others submit",
        more: `Any number of them may share a database and a queue.\n${stopping}`,
        json: false,
        examples: ["STEPVAULT_DATABASE_URL=postgres://… STEPVAULT_REDIS_URL=redis://… stepvault worker"],
      },
    ],
  },
  {
    name: "api",
    summary: "the HTTP API alone",
    actions: [
      {
        name: "",
        summary: "Starts the HTTP API, which submits runs for workers to run",
        more: `Any number of them may share a database and a queue.\n${stopping}`,
        json: false,
        examples: ["STEPVAULT_API_HOST=0.0.0.0 STEPVAULT_API_PUBLIC_URL=https://stepvault.example.com stepvault api"],
      },
    ],
  },
  {
    name: "demo",
    summary: "four steps through the whole system, in a minute",
    actions: [
      {
        name: "",
        summary: "Runs four steps through the whole system",
        more: `Starts an embedded PostgreSQL, a worker and an HTTP echo server, stores two secrets, runs four steps through the queue
and shows what a viewer of the runs would see. Ends by searching the database and its files for the values.
Needs nothing installed, reads no settings, and works in a temporary folder that it removes.`,
        json: false,
        examples: ["stepvault demo"],
      },
    ],
  },
  {
    name: "doctor",
    summary: "whether steps can run on this machine",
    actions: [
      {
        name: "",
        summary: "Checks what steps need to run here",
        more: `Node, settings, database, Redis, master key or key management service, cache, packages, and the layers of the sandbox.
Changes nothing; a few bytes go through the service's key and come back. Exit code 0 when nothing fails, 4 otherwise; a
warning is no failure.`,
        examples: ["stepvault doctor", "stepvault doctor --json | jq '.checks[] | select(.verdict != \"ok\")'"],
      },
    ],
  },
];
