/**
 * The types of what the API takes and gives, and of its operations. Imports nothing.
 * Made by `npm run client-types` from the API's OpenAPI document; change the schemas in protocol/ instead.
 */

export type Agent = {
  id: string;
  projectId: string;
  kind: "agent" | "workforce";
  name: string;
  /** Whether embed keys may be made for it, and work */
  public: boolean;
  stepIds: readonly string[];
  createdAt: string;
};

export type AgentChange = {
  name?: string | undefined;
  /** Whether embed keys may be made for it, and work */
  public?: boolean | undefined;
  /** Steps of the project that it may start */
  stepIds?: readonly string[] | undefined;
};

export type AgentEmbedKeyInput = {
  agent_id: string;
  /** The same as in the Authorization header, where that names one */
  project: string;
  /** Pages that may use it, such as https://shop.example; without any, all may */
  origins?: readonly string[] | undefined;
  /** At most 30 days ahead */
  expires_at?: string | undefined;
  requests_max?: number | undefined;
  requests_per_minute_max?: number | undefined;
};

export type AgentInput = {
  kind: "agent" | "workforce";
  name: string;
  /** Whether embed keys may be made for it, and work */
  public?: boolean | undefined;
  /** Steps of the project that it may start */
  stepIds?: readonly string[] | undefined;
};

export type AgentPage = { data: readonly Agent[]; pagination: Pagination };

export type AuditEvent = {
  id: string;
  /** Its number in the organization's log, without gaps */
  seq: number;
  time: string;
  projectId?: string | undefined;
  class: "management" | "data-access" | "authentication" | "authorization";
  /** `thing.done`, such as `secret.set` */
  event: string;
  outcome: "success" | "denied" | "failure";
  reason?: string | undefined;
  actor: { kind: "system" | "person" | "key"; id: string };
  via?: { runId?: string | undefined; stepId?: string | undefined; keyId?: string | undefined } | undefined;
  target?:
    | readonly { type: string; id?: string | undefined; name?: string | undefined; version?: number | undefined }[]
    | undefined;
  details?: Record<string, string | number | boolean | null> | undefined;
};

/** Where the log ends, signed; keep it where nobody of the service can write */
export type AuditHead = {
  organizationId: string;
  seq: number;
  hash: string;
  time: string;
  publicKey: string;
  signature: string;
};

export type AuditPage = { data: readonly AuditEvent[]; pagination: Pagination };

export type AuditVerdict = {
  /** How many were read, from the first on */
  events: number;
  /** The first place where the log is not what was written; absent when it is */
  broken?: { seq: number; why: string } | undefined;
};

export type AuditVerification = {
  /** From earlier: the log must still lead through it */
  head?:
    | { organizationId: string; seq: number; hash: string; time: string; publicKey: string; signature: string }
    | undefined;
};

export type Builder = {
  personId: string;
  name: string;
  /** The role by which they are one */
  by:
    | "owner"
    | "organization admin"
    | "organization member"
    | "project admin"
    | "editor"
    | "builder"
    | "member"
    | "viewer";
};

export type BuilderPage = { data: readonly Builder[]; pagination: Pagination };

export type Credential = {
  integration: string;
  kind: "shared" | "per-user";
  level: "organization" | "project";
  version: number;
  disabled: boolean;
  fields: readonly {
    name: string;
    /** Absent: the field is secret */
    value?: string | undefined;
  }[];
  /** The row is not the one that was written, and not usable */
  tampered: boolean;
  createdAt: string;
  updatedAt: string;
};

export type CredentialExplanation = {
  integration: string;
  kind: "shared" | "per-user";
  /** The one in force; null: none is */
  winner: {
    integration: string;
    level: "organization" | "project";
    version: number;
    fields: readonly {
      name: string;
      /** Absent: the field is secret */
      value?: string | undefined;
    }[];
  } | null;
  /** Where one may be, the nearest first, and why each was passed over */
  candidates: readonly {
    level: "organization" | "project";
    state:
      | "in force"
      | "absent"
      | "changed past Stepvault"
      | "switched off"
      | "shadowed"
      | "not inherited"
      | "plan required"
      | "rollout pending";
    why: string;
    version?: number | undefined;
  }[];
};

export type CredentialExplanationPage = { data: readonly CredentialExplanation[]; pagination: Pagination };

export type CredentialInput = {
  /** By the names of the catalogue */
  fields: Record<string, string>;
};

export type CredentialPage = { data: readonly Credential[]; pagination: Pagination };

export type CredentialSettings = {
  plan: "free" | "team" | "enterprise";
  rolledOut: boolean;
  /** Whether the deployment asks for the plan enterprise */
  planGate: boolean;
  /** Whether the deployment asks for the rollout */
  rolloutGate: boolean;
  /** The first gate that the organization does not pass */
  closedGate: "plan" | "rollout" | null;
  /** Whether editors may change credentials in its projects */
  editorsManage: boolean;
};

export type CredentialSettingsInput = { editorsManage: boolean };

export type CredentialSwitch = {
  /** Off, it is not usable, and its value stays stored */
  enabled: boolean;
};

export type CredentialVersion = { version: number };

export type DestroyedSecret = {
  name: string;
  /** Versions whose value is gone for good */
  destroyed: readonly number[];
};

export type Destruction = {
  /** `all`: the whole secret, with its name */
  versions: "all" | readonly number[];
};

export type EmbedKey = {
  id: string;
  projectId: string;
  /** Of the agent or workforce */
  agentId: string;
  region: "us" | "eu" | "au";
  hint: string;
  conversationPrefix: string;
  /** null: from anywhere */
  origins: readonly string[] | null;
  createdBy: { kind: "system" | "person" | "key"; id: string };
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
  /** To the minute */
  lastUsedAt: string | null;
  requestsMax: number | null;
  requestsUsed: number;
  requestsPerMinuteMax: number | null;
};

export type EmbedKeyPage = { data: readonly EmbedKey[]; pagination: Pagination };

export type EndedLeak = {
  /** As it was before */
  leak: Leak;
  ended: readonly {
    type: "secret" | "credential" | "key" | "embed key";
    id: string;
    done: "rotated" | "switched off" | "revoked" | "nothing to do";
    /** The code of what kept it from being ended: it is as it was */
    error?: string | undefined;
  }[];
};

export type Inheritance = {
  switches: readonly {
    class: string;
    /** null: the whole class */
    integration: string | null;
    inherits: boolean;
    /** It is not what was written; what it decides is not usable */
    tampered: boolean;
  }[];
};

export type InheritanceInput = {
  /** null takes the switch away; a provider follows its class again */
  inherits: boolean | null;
};

export type Integration = {
  id: string;
  name: string;
  class: "integration" | "model";
  /** auto: every project has what its organization has */
  inheritance: "auto" | "opt_in";
  /** Users connect their own account: there is nothing to share */
  oauth: boolean;
  kind: "shared" | "per-user";
  fields: readonly {
    name: string;
    required: boolean;
    /** Sealed, and never shown again */
    secret: boolean;
    rule: string;
    help: string;
  }[];
};

export type IntegrationPage = { data: readonly Integration[]; pagination: Pagination };

export type IssuedEmbedKey = {
  /** The key. It is shown here once and kept nowhere */
  embed_key: string;
  /** What the names of its conversations begin with */
  conversation_prefix: string;
};

export type IssuedKey = {
  /** The key. It is shown here once and kept nowhere */
  key: string;
  metadata: Key;
};

export type Key = {
  id: string;
  organizationId: string;
  /** null: a key of the organization */
  projectId: string | null;
  name: string;
  scopes: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[];
  access: "project" | "all" | "selected";
  /** Of selected access, in the organization's list */
  projectIds?: readonly string[] | undefined;
  region: "us" | "eu" | "au";
  /** What people tell keys apart by: the prefix and the last four characters */
  hint: string;
  /** A rotated one works until `expiresAt` */
  state: "active" | "rotated" | "expired" | "revoked";
  /** Of the organization, in a project's list: changed in the organization only */
  inherited: boolean;
  createdBy: { kind: "system" | "person" | "key"; id: string };
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
  rotatedFrom: string | null;
  rotatedTo: string | null;
  /** To the minute */
  lastUsedAt: string | null;
};

export type KeyPage = { data: readonly Key[]; pagination: Pagination };

export type KeyPolicy = {
  expiryRequired: boolean;
  /** null: 90; a figure also rules out keys without an expiry */
  expiryDaysMax: number | null;
};

export type KeyPolicyInput = {
  expiryRequired: boolean;
  /** null: 90; a figure also rules out keys without an expiry */
  expiryDaysMax: number | null;
};

export type KeyRotationInput = {
  /** How long the old key works on, unless it expires sooner */
  graceDays: number;
  /** None, or 7 to 90 days ahead, within the organization's policy */
  expiry: "none" | { days: number } | { date: string };
};

export type Leak = {
  secrets: readonly {
    id: string;
    name: string;
    place: { organizationId: string } | { projectId: string };
    version: number;
    /** Whether runs still get this version */
    inForce: boolean;
    sealed: boolean;
    createdAt: string;
    /** Who could have a step tell it; of a project's secret */
    readers: readonly { personId: string; name: string; by: string }[];
    /** Roles that could be shown it */
    revealedTo: readonly string[];
    uses: readonly SecretUse[];
  }[];
  credentials: readonly {
    place: { organizationId: string } | { projectId: string };
    integration: string;
    level: "project" | "organization";
    version: number;
    inForce: boolean;
  }[];
  keys: readonly {
    id: string;
    kind: "key" | "embed key";
    place: { organizationId: string } | { projectId: string };
    hint: string;
    name?: string | undefined;
    inForce: boolean;
    createdBy: { kind: string; id: string };
    lastUsedAt: string | null;
    /** Embed keys made with it, which end with it */
    children: number;
  }[];
  /** Versions of secrets that cannot be compared */
  unknownVersions: number;
};

export type LeakEnd = {
  /** A value, a key, or the part of a file or log that was found; at most 256 KiB */
  text: string;
  /** The next value of each secret that leaked; without one they are switched off */
  replacement?: string | undefined;
};

export type LeakSearch = {
  /** A value, a key, or the part of a file or log that was found; at most 256 KiB */
  text: string;
};

export type Name = { name: string };

export type Organization = { id: string; name: string; createdAt: string };

export type OrganizationKeyChange = {
  name?: string | undefined;
  scopes?: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[] | undefined;
  /** All projects of the organization, also later ones, or these */
  access?: "all" | readonly string[] | undefined;
};

export type OrganizationKeyInput = {
  name: string;
  scopes: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[];
  /** All projects of the organization, also later ones, or these */
  access: "all" | readonly string[];
  /** None, or 7 to 90 days ahead, within the organization's policy */
  expiry: "none" | { days: number } | { date: string };
};

export type OrganizationMember = {
  personId: string;
  name: string;
  role: "owner" | "admin" | "member";
  createdAt: string;
};

export type OrganizationMemberInput = { name: string; role: "owner" | "admin" | "member" };

export type OrganizationMemberPage = { data: readonly OrganizationMember[]; pagination: Pagination };

export type OrganizationPage = { data: readonly Organization[]; pagination: Pagination };

export type OwnKey = {
  id: string;
  kind: "project" | "organization" | "embed";
  organizationId: string;
  /** What it covers */
  projects: "all" | readonly string[];
  /** None for an embed key, which starts and sees its agent's runs */
  scopes: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[];
  region: "us" | "eu" | "au";
  hint: string;
  expiresAt: string | null;
  /** It, or the key that made it, has a successor and stops at `expiresAt` */
  rotated: boolean;
  /** Of an embed key: what it is for */
  agent?:
    | {
        id: string;
        kind: "agent" | "workforce";
        /** The steps that the key may start, once they are published */
        stepIds: readonly string[];
        conversationPrefix: string;
      }
    | undefined;
};

export type Pagination = {
  /** Where the next page begins; absent on the last one */
  cursor?: string | undefined;
  hasMore: boolean;
};

/** Why a request failed, as RFC 9457 has it */
export type Problem = {
  type: "about:blank";
  /** The status in words */
  title: string;
  status: number;
  /** What could not be done and why, for people; never a value */
  detail: string;
  /** This very answer: `urn:stepvault:request:` with the request's id */
  instance: string;
  /** What programs decide by; docs/errors.md lists every one */
  code: string;
  requestId: string;
  /** Each place of the request that does not match its schema */
  errors?:
    | readonly {
        /** JSON pointer into { path, query, headers, body } of the request */
        pointer: string;
        detail: string;
      }[]
    | undefined;
};

export type Project = {
  id: string;
  organizationId: string;
  name: string;
  /** What every step of the project may reach at most; null: what the step itself may */
  network: "none" | "open" | readonly string[] | null;
  createdAt: string;
};

export type ProjectKeyChange = {
  name?: string | undefined;
  scopes?: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[] | undefined;
};

export type ProjectKeyInput = {
  name: string;
  scopes: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[];
  /** None, or 7 to 90 days ahead, within the organization's policy */
  expiry: "none" | { days: number } | { date: string };
};

export type ProjectLimits = {
  /** Runs that are with workers at the same time; others wait; null: what holds in the whole deployment */
  runsAtOnceMax: number | null;
  /** Runs that may be submitted in a minute; null: what holds in the whole deployment */
  runsPerMinuteMax: number | null;
  /** Days that ended runs and their events are kept; null: what holds in the whole deployment */
  retentionDays: number | null;
  /** Bytes of events of ended runs; the oldest go first; null: what holds in the whole deployment */
  retentionBytesMax: number | null;
};

export type ProjectLimitsInput = {
  /** Runs that are with workers at the same time; others wait; null: what holds in the whole deployment */
  runsAtOnceMax: number | null;
  /** Runs that may be submitted in a minute; null: what holds in the whole deployment */
  runsPerMinuteMax: number | null;
  /** Days that ended runs and their events are kept; null: what holds in the whole deployment */
  retentionDays: number | null;
  /** Bytes of events of ended runs; the oldest go first; null: what holds in the whole deployment */
  retentionBytesMax: number | null;
};

export type ProjectMember = {
  personId: string;
  name: string;
  role: "admin" | "editor" | "member" | "viewer";
  /** Whether a member is a builder; other roles do not need it */
  canCreateAssets: boolean;
  createdAt: string;
};

export type ProjectMemberInput = {
  role: "admin" | "editor" | "member" | "viewer";
  /** Whether a member is a builder; other roles do not need it */
  canCreateAssets?: boolean | undefined;
};

export type ProjectMemberPage = { data: readonly ProjectMember[]; pagination: Pagination };

export type ProjectNetwork = { network: "none" | "open" | readonly string[] | null };

export type ProjectPage = { data: readonly Project[]; pagination: Pagination };

export type Publication = {
  /** null: none is published any more */
  version: number | null;
};

export type ReferencesInput = {
  references: readonly { name: string; line?: number | undefined; column?: number | undefined }[];
  stepId?: string | undefined;
  /** Of a saved version; without one it is asked as if the caller was about to save the step */
  stepVersion?: number | undefined;
};

export type RevealInput = {
  /** Without one, the version in use */
  version?: number | undefined;
};

/** The one answer besides an export that holds a value */
export type RevealedSecret = { name: string; version: number; value: string };

export type Rollback = { toVersion: number };

export type Run = {
  id: string;
  projectId: string;
  status:
    | "queued"
    | "running"
    | "succeeded"
    | "failed"
    | "timed_out"
    | "out_of_memory"
    | "limit_exceeded"
    | "cancelled"
    | "crashed"
    | "rejected";
  language: "javascript" | "typescript" | "python" | null;
  stepId: string | null;
  labels: Record<string, string>;
  attempt: number;
  createdAt: string;
  /** Not before this time */
  runAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
  cancelRequestedAt: string | null;
  submittedBy: { kind: string; id: string } | null;
  result: RunResult | null;
};

/** Runs that are submitted together, all or none; `after` may name one of them */
export type RunBatch = { runs: readonly RunInput[] };

export type RunError = {
  code: string;
  fault: "user" | "limit" | "system";
  message: string;
  line?: number | undefined;
  column?: number | undefined;
  excerpt?: string | undefined;
  stack?: string | undefined;
};

/** What happened in a run; all text has been redacted */
export type RunEvent =
  | { runId: string; seq: number; time: string; kind: "started"; attempt?: number | undefined }
  | { runId: string; seq: number; time: string; kind: "stdout" | "stderr"; text: string }
  | {
      runId: string;
      seq: number;
      time: string;
      kind: "log";
      level: "debug" | "info" | "warn" | "error";
      message: string;
      /** Any JSON */
      fields?: unknown;
    }
  | {
      runId: string;
      seq: number;
      time: string;
      kind: "request";
      method: string;
      host: string;
      path: string;
      rule: string | null;
      status: number | null;
      bytesSent: number;
      bytes: number;
      headersMs: number | null;
      ms: number;
      secrets: readonly string[];
    }
  | {
      runId: string;
      seq: number;
      time: string;
      kind: "security";
      method: string;
      host: string;
      action: "blocked" | "reported";
      reason: "host" | "place" | "transport" | "redirect";
      secrets: readonly string[];
    }
  | { runId: string; seq: number; time: string; kind: "retry"; attempt: number; delayMs: number; error: RunError }
  | {
      runId: string;
      seq: number;
      time: string;
      kind: "output";
      /** Any JSON */
      output: unknown;
    }
  | { runId: string; seq: number; time: string; kind: "error"; error: RunError }
  | {
      runId: string;
      seq: number;
      time: string;
      kind: "finished";
      status:
        | "succeeded"
        | "failed"
        | "timed_out"
        | "out_of_memory"
        | "limit_exceeded"
        | "cancelled"
        | "crashed"
        | "rejected";
    };

export type RunEventPage = { data: readonly RunEvent[]; pagination: { after?: number | undefined; hasMore: boolean } };

export type RunInput = {
  step:
    | { id: string; version?: number | undefined }
    | {
        language: "javascript" | "typescript" | "python";
        code: string;
        inputs?: Record<string, unknown> | undefined;
        limits?:
          | {
              wallTimeMsMax?: number | undefined;
              cpuTimeMsMax?: number | undefined;
              memoryBytesMax?: number | undefined;
              stdoutBytesMax?: number | undefined;
              stdoutLinesMax?: number | undefined;
              logEntriesMax?: number | undefined;
              logBytesMax?: number | undefined;
              outputBytesMax?: number | undefined;
              outputDepthMax?: number | undefined;
              bridgeCallsMax?: number | undefined;
              timersMax?: number | undefined;
              requestsMax?: number | undefined;
              requestsAtOnceMax?: number | undefined;
              requestBytesMax?: number | undefined;
              uploadBytesMax?: number | undefined;
              responseBytesMax?: number | undefined;
              downloadBytesMax?: number | undefined;
              connectTimeMsMax?: number | undefined;
              headersTimeMsMax?: number | undefined;
              idleTimeMsMax?: number | undefined;
              requestTimeMsMax?: number | undefined;
            }
          | undefined;
        network?: "none" | "open" | readonly string[] | undefined;
        retry?:
          | { attemptsMax: number; backoffMs?: number | undefined; on?: "system" | "failure" | undefined }
          | undefined;
      };
  params?: unknown;
  steps?: Record<string, unknown> | undefined;
  runId?: string | undefined;
  labels?: Record<string, string> | undefined;
  name?: string | undefined;
  runAt?: string | undefined;
  delayMs?: number | undefined;
  after?: Record<string, string> | undefined;
  traceparent?: string | undefined;
};

export type RunOutput = {
  /** Any JSON */
  output: unknown;
};

export type RunPage = { data: readonly RunSummary[]; pagination: Pagination };

/** How a run ended; everything in it has been redacted */
export type RunResult = {
  runId: string;
  name?: string | undefined;
  status:
    | "succeeded"
    | "failed"
    | "timed_out"
    | "out_of_memory"
    | "limit_exceeded"
    | "cancelled"
    | "crashed"
    | "rejected";
  /** Any JSON */
  output?: unknown;
  error?: RunError | undefined;
  usage: {
    queueMs: number;
    wallMs: number;
    cpuMs: number;
    memoryPeakBytes: number;
    stdoutBytes: number;
    logEntries: number;
    requests: number;
  };
  redactions: readonly { secret: string; count: number; forms: Record<string, number> }[];
};

export type RunSummary = {
  id: string;
  projectId: string;
  status:
    | "queued"
    | "running"
    | "succeeded"
    | "failed"
    | "timed_out"
    | "out_of_memory"
    | "limit_exceeded"
    | "cancelled"
    | "crashed"
    | "rejected";
  language: "javascript" | "typescript" | "python" | null;
  stepId: string | null;
  labels: Record<string, string>;
  attempt: number;
  createdAt: string;
  /** Not before this time */
  runAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
  cancelRequestedAt: string | null;
  submittedBy: { kind: string; id: string } | null;
};

export type SavedStep = { id: string; version: number };

export type Schedule = {
  id: string;
  projectId: string;
  name: string;
  cron: string;
  timeZone: string;
  /** As it was given */
  job: unknown;
  enabled: boolean;
  nextAt: string;
  lastDueAt: string | null;
  lastRunId: string | null;
  /** Why the last submission was refused */
  lastErrorCode: string | null;
  createdBy: { kind: string; id: string };
  createdAt: string;
  updatedAt: string;
};

export type ScheduleInput = {
  name: string;
  /** Minute, hour, day of month, month, day of week */
  cron: string;
  /** An IANA name such as Europe/Zurich */
  timeZone?: string | undefined;
  job: {
    step:
      | { id: string; version?: number | undefined }
      | {
          language: "javascript" | "typescript" | "python";
          code: string;
          inputs?: Record<string, unknown> | undefined;
          limits?:
            | {
                wallTimeMsMax?: number | undefined;
                cpuTimeMsMax?: number | undefined;
                memoryBytesMax?: number | undefined;
                stdoutBytesMax?: number | undefined;
                stdoutLinesMax?: number | undefined;
                logEntriesMax?: number | undefined;
                logBytesMax?: number | undefined;
                outputBytesMax?: number | undefined;
                outputDepthMax?: number | undefined;
                bridgeCallsMax?: number | undefined;
                timersMax?: number | undefined;
                requestsMax?: number | undefined;
                requestsAtOnceMax?: number | undefined;
                requestBytesMax?: number | undefined;
                uploadBytesMax?: number | undefined;
                responseBytesMax?: number | undefined;
                downloadBytesMax?: number | undefined;
                connectTimeMsMax?: number | undefined;
                headersTimeMsMax?: number | undefined;
                idleTimeMsMax?: number | undefined;
                requestTimeMsMax?: number | undefined;
              }
            | undefined;
          network?: "none" | "open" | readonly string[] | undefined;
          retry?:
            | { attemptsMax: number; backoffMs?: number | undefined; on?: "system" | "failure" | undefined }
            | undefined;
        };
    params?: unknown;
    steps?: Record<string, unknown> | undefined;
    labels?: Record<string, string> | undefined;
    name?: string | undefined;
    traceparent?: string | undefined;
  };
  enabled?: boolean | undefined;
};

export type SchedulePage = { data: readonly Schedule[]; pagination: Pagination };

export type Secret = {
  id: string;
  name: string;
  level: "project" | "organization";
  /** Of the organization, in a project: used there, and changed in the organization only */
  inherited: boolean;
  version: number;
  disabled: boolean;
  deleted: boolean;
  expiresAt: string | null;
  expired: boolean;
  description: string;
  tags: readonly string[];
  rotationDays: number | null;
  rotationDueAt: string | null;
  /** Of the organization's: which projects may use it */
  access: "all" | "selected" | null;
  /** Whether the value is long enough to be masked in logs */
  maskable: boolean;
  /** Absent where the stored one is none */
  policy?: SecretPolicy | undefined;
  /** Changed past Stepvault: a run that refers to it is rejected */
  tampered: boolean;
  /** Who can act with it, in a sentence */
  risk: string;
  lastUsedAt: string | null;
  createdAt: string;
  updatedAt: string;
};

export type SecretAccess = {
  people: readonly {
    personId: string;
    name: string;
    /** Where, and by which of their roles */
    in: readonly { projectId: string; by: string }[];
  }[];
  projectIds: readonly string[];
  /** Whether these are all of them */
  complete: boolean;
  risk: string;
  hints: readonly { id: string; text: string }[];
};

export type SecretChange = {
  /** At most 500 characters; many see it */
  description?: string | undefined;
  tags?: readonly string[] | undefined;
  /** From then on a run that refers to it is rejected; null: never */
  expiresAt?: string | null | undefined;
  /** Days with one version after which it is listed as stale; null: never */
  rotationDays?: number | null | undefined;
  /** Of an organization's secret: the projects that may use it, or `all`; none at first */
  access?: "all" | readonly string[] | undefined;
};

export type SecretDependents = {
  steps: readonly { projectId: string; id: string; version: number; name: string }[];
  uses: readonly SecretUse[];
  /** The organization's secret of the same name would be used instead */
  fallback: boolean;
};

export type SecretExplanation = {
  name: string;
  /** Absent: a run that refers to it is rejected */
  winner?: { level: "project" | "organization"; name: string; version: number } | undefined;
  /** Nearest first */
  candidates: readonly {
    level: "project" | "organization";
    name: string;
    state: string;
    why: string;
    version?: number | undefined;
  }[];
};

export type SecretExport = { format: "env" | "json" };

export type SecretExportResult = {
  /** Names and values */
  text: string;
  /** Not in the text */
  withheld: readonly { name: string; why: string }[];
};

export type SecretImport = {
  /** At most 4 MiB and 1,000 secrets */
  text: string;
  /** Without one, a text that begins with a brace is JSON */
  format?: "env" | "json" | undefined;
  /** Secrets that differ get what the text has; else they are kept */
  overwrite?: boolean | undefined;
  /** Secrets that the text does not have are deleted */
  prune?: boolean | undefined;
  /** Only tells what would be done */
  dryRun?: boolean | undefined;
  /** Of a dry run: goes ahead only while text and secrets are those that it saw */
  ifToken?: string | undefined;
};

export type SecretImportResult = {
  /** Whether nothing was done */
  dryRun: boolean;
  changes: readonly {
    name: string;
    action: "create" | "update" | "restore" | "keep" | "same" | "delete";
    differs: readonly ("value" | "policy" | "description" | "tags")[];
  }[];
  /** For `ifToken` */
  token: string;
};

export type SecretInput = {
  /** 1 to 65,536 bytes of UTF-8 */
  value?: string | undefined;
  /** Where the value is kept instead */
  source?: { source: string; path: string; field: string; version?: number | undefined } | undefined;
  /** Without one the secret keeps the policy that it has */
  policy?: SecretPolicyInput | undefined;
  /** At most 500 characters; many see it */
  description?: string | undefined;
  tags?: readonly string[] | undefined;
  /** From then on a run that refers to it is rejected; null: never */
  expiresAt?: string | null | undefined;
  /** Days with one version after which it is listed as stale; null: never */
  rotationDays?: number | null | undefined;
  /** Of an organization's secret: the projects that may use it, or `all`; none at first */
  access?: "all" | readonly string[] | undefined;
  /** Ends the version before this one by itself, once no run used it for so many hours */
  endUnusedHours?: number | undefined;
};

export type SecretPage = { data: readonly Secret[]; pagination: Pagination };

export type SecretPolicy = {
  sealed: boolean;
  hosts: readonly string[];
  places: {
    headers: readonly string[];
    basic: boolean;
    path: boolean;
    query: boolean;
    body: boolean;
    sign: readonly string[];
  };
  steps: readonly string[];
  agents: readonly string[];
  roles: readonly string[];
  /** Where the value is kept instead */
  source?: { source: string; path: string; field: string; version?: number | undefined } | undefined;
};

export type SecretPolicyInput = {
  sealed?: boolean | undefined;
  hosts?: readonly string[] | undefined;
  places?:
    | {
        headers?: readonly string[] | undefined;
        basic?: boolean | undefined;
        path?: boolean | undefined;
        query?: boolean | undefined;
        body?: boolean | undefined;
        sign?: readonly ("hmac" | "aws-sigv4" | "jwt")[] | undefined;
      }
    | undefined;
  steps?: readonly string[] | undefined;
  agents?: readonly string[] | undefined;
  roles?: readonly ("owner" | "organization admin" | "project admin" | "editor" | "builder")[] | undefined;
};

export type SecretTombstone = {
  organizationId: string;
  /** Absent for a secret of the organization */
  projectId?: string | undefined;
  secretId: string;
  name: string;
  version: number;
  /** Of the wrapped key that is no more */
  keyDigest: string;
  by: { kind: string; id: string };
  time: string;
  /** Ed25519 over `<purpose>`, a line break and `<body>` */
  signed: { purpose: string; body: string; publicKey: string; signature: string };
};

export type SecretTombstonePage = { data: readonly SecretTombstone[]; pagination: Pagination };

export type SecretUse = {
  version: number;
  projectId: string;
  /** Absent: code that was sent along with its run */
  step?: { id: string; name?: string | undefined } | undefined;
  /** As far as the orchestrator said */
  caller?: string | undefined;
  uses: number;
  firstUsedAt: string;
  lastUsedAt: string;
  lastRunId: string;
};

export type SecretUsePage = { data: readonly SecretUse[]; pagination: Pagination };

export type SecretVerdict = {
  /** Names whose rows are not as they were written */
  changed: readonly string[];
  /** Names whose rows are gone */
  removed: readonly string[];
  /** Nothing can be proven: the key or the manifest is not what was stored */
  unproven: boolean;
};

export type SecretVersion = {
  version: number;
  current: boolean;
  createdAt: string;
  createdBy?: { kind: string; id: string } | undefined;
  policy?: SecretPolicy | undefined;
  destroyedAt: string | null;
  /** It ends by itself, once unused for so long */
  endUnusedHours: number | null;
  uses: number;
  lastUsedAt: string | null;
};

export type SecretVersionPage = { data: readonly SecretVersion[]; pagination: Pagination };

export type Session = {
  id: string;
  personId: string;
  createdAt: string;
  /** To the minute */
  lastSeenAt: string;
  /** Whatever is done with it; sooner when it is not used for 12 hours */
  endsAt: string;
};

export type SessionList = { data: readonly Session[] };

export type SignIn = {
  /** What follows # in the sign-in link */
  token: string;
};

export type Step = {
  id: string;
  projectId: string;
  name: string;
  description: string | null;
  language: "javascript" | "typescript" | "python";
  /** The newest */
  version: number;
  /** The one that runs when none is named; null: the newest does */
  publishedVersion: number | null;
  createdAt: string;
  updatedAt: string;
};

export type StepCheck = {
  /** How many references to secrets the step has */
  references: number;
  failures: readonly {
    name: string;
    line?: number | undefined;
    column?: number | undefined;
    code: string;
    why: string;
  }[];
  /** Empty when nothing would fail */
  summary: string;
};

export type StepCheckInput = {
  step: {
    language: "javascript" | "typescript" | "python";
    code: string;
    inputs?: Record<string, unknown> | undefined;
    limits?:
      | {
          wallTimeMsMax?: number | undefined;
          cpuTimeMsMax?: number | undefined;
          memoryBytesMax?: number | undefined;
          stdoutBytesMax?: number | undefined;
          stdoutLinesMax?: number | undefined;
          logEntriesMax?: number | undefined;
          logBytesMax?: number | undefined;
          outputBytesMax?: number | undefined;
          outputDepthMax?: number | undefined;
          bridgeCallsMax?: number | undefined;
          timersMax?: number | undefined;
          requestsMax?: number | undefined;
          requestsAtOnceMax?: number | undefined;
          requestBytesMax?: number | undefined;
          uploadBytesMax?: number | undefined;
          responseBytesMax?: number | undefined;
          downloadBytesMax?: number | undefined;
          connectTimeMsMax?: number | undefined;
          headersTimeMsMax?: number | undefined;
          idleTimeMsMax?: number | undefined;
          requestTimeMsMax?: number | undefined;
        }
      | undefined;
    network?: "none" | "open" | readonly string[] | undefined;
    retry?: { attemptsMax: number; backoffMs?: number | undefined; on?: "system" | "failure" | undefined } | undefined;
  };
  id?: string | undefined;
};

export type StepInput = {
  name: string;
  /** What it does, for those who may call it, models too */
  description?: string | undefined;
  /** A JSON Schema of its params, for those who call it; nothing is checked by it */
  paramsSchema?: Record<string, unknown> | undefined;
  step: {
    language: "javascript" | "typescript" | "python";
    code: string;
    inputs?: Record<string, unknown> | undefined;
    limits?:
      | {
          wallTimeMsMax?: number | undefined;
          cpuTimeMsMax?: number | undefined;
          memoryBytesMax?: number | undefined;
          stdoutBytesMax?: number | undefined;
          stdoutLinesMax?: number | undefined;
          logEntriesMax?: number | undefined;
          logBytesMax?: number | undefined;
          outputBytesMax?: number | undefined;
          outputDepthMax?: number | undefined;
          bridgeCallsMax?: number | undefined;
          timersMax?: number | undefined;
          requestsMax?: number | undefined;
          requestsAtOnceMax?: number | undefined;
          requestBytesMax?: number | undefined;
          uploadBytesMax?: number | undefined;
          responseBytesMax?: number | undefined;
          downloadBytesMax?: number | undefined;
          connectTimeMsMax?: number | undefined;
          headersTimeMsMax?: number | undefined;
          idleTimeMsMax?: number | undefined;
          requestTimeMsMax?: number | undefined;
        }
      | undefined;
    network?: "none" | "open" | readonly string[] | undefined;
    retry?: { attemptsMax: number; backoffMs?: number | undefined; on?: "system" | "failure" | undefined } | undefined;
  };
  /** Whether to save it only if every reference to a secret would resolve */
  checked?: boolean | undefined;
  /** Whether to publish the version at once */
  publish?: boolean | undefined;
};

export type StepPage = { data: readonly Step[]; pagination: Pagination };

export type StepTest = { version?: number | undefined; params?: unknown };

export type StepVersion = {
  id: string;
  version: number;
  name: string;
  description: string | null;
  paramsSchema: Record<string, unknown> | null;
  language: "javascript" | "typescript" | "python";
  code: string;
  inputs: Record<string, unknown> | null;
  limits: {
    wallTimeMsMax?: number | undefined;
    cpuTimeMsMax?: number | undefined;
    memoryBytesMax?: number | undefined;
    stdoutBytesMax?: number | undefined;
    stdoutLinesMax?: number | undefined;
    logEntriesMax?: number | undefined;
    logBytesMax?: number | undefined;
    outputBytesMax?: number | undefined;
    outputDepthMax?: number | undefined;
    bridgeCallsMax?: number | undefined;
    timersMax?: number | undefined;
    requestsMax?: number | undefined;
    requestsAtOnceMax?: number | undefined;
    requestBytesMax?: number | undefined;
    uploadBytesMax?: number | undefined;
    responseBytesMax?: number | undefined;
    downloadBytesMax?: number | undefined;
    connectTimeMsMax?: number | undefined;
    headersTimeMsMax?: number | undefined;
    idleTimeMsMax?: number | undefined;
    requestTimeMsMax?: number | undefined;
  } | null;
  network: "none" | "open" | readonly string[] | null;
  retry: { attemptsMax: number; backoffMs: number; on: "system" | "failure" } | null;
  createdAt: string;
  createdBy: { kind: string; id: string } | null;
};

export type StepVersionPage = { data: readonly StepVersion[]; pagination: Pagination };

export type StoredSecret = {
  name: string;
  /** The version that it has now; its ETag */
  version: number;
};

export type SubmittedBatch = { runs: readonly { runId: string; created: boolean }[] };

export type SubmittedRun = {
  runId: string;
  /** False when a run with this id was submitted before */
  created: boolean;
  status:
    | "queued"
    | "running"
    | "succeeded"
    | "failed"
    | "timed_out"
    | "out_of_memory"
    | "limit_exceeded"
    | "cancelled"
    | "crashed"
    | "rejected";
  /** null while the run has not ended */
  result: RunResult | null;
};

export type Whoami = {
  actor: { kind: "person" | "key" | "system"; id: string };
  /** The kind of credential that the request has */
  via: "key" | "embed" | "token" | "session";
  /** The project that the Authorization header names */
  projectId?: string | undefined;
  sessionId?: string | undefined;
  /** Of a person; none for a key */
  organizations: readonly { organizationId: string; name: string; role: "owner" | "admin" | "member" }[];
  /** Of a platform key, and not of an embed key */
  key?:
    | {
        organizationId: string;
        /** The projects that the key covers */
        projects: "all" | readonly string[];
        scopes: readonly ("trigger" | "read:runs" | "manage:secrets" | "admin")[];
      }
    | undefined;
};

export type WorkforceEmbedKeyInput = {
  workforce_id: string;
  /** The same as in the Authorization header, where that names one */
  project: string;
  /** Pages that may use it, such as https://shop.example; without any, all may */
  origins?: readonly string[] | undefined;
  /** At most 30 days ahead */
  expires_at?: string | undefined;
  requests_max?: number | undefined;
  requests_per_minute_max?: number | undefined;
};

/** What each operation takes, as `path`, `query` and `body`, and what it answers. */
export interface Operations {
  /** All organizations of the deployment, oldest first; for the operator */
  listOrganizations: {
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: OrganizationPage;
  };
  /** Make an organization; for the operator */
  createOrganization: { body: Name; answer: Organization };
  /** The organization's projects that the caller has a part in, oldest first */
  listProjects: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: ProjectPage;
  };
  /** Make a project in the organization */
  createProject: { path: { organizationId: string }; body: Name; answer: Project };
  /** A project */
  getProject: { path: { projectId: string }; answer: Project };
  /** Set what every step of the project may reach at most */
  setProjectNetwork: { path: { projectId: string }; body: ProjectNetwork; answer: Project };
  /** What the project may use, and how long it keeps runs */
  getProjectLimits: { path: { projectId: string }; answer: ProjectLimits };
  /** Set all limits of the project */
  setProjectLimits: { path: { projectId: string }; body: ProjectLimitsInput; answer: ProjectLimits };
  /** The people of the organization, by name */
  listOrganizationMembers: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: OrganizationMemberPage;
  };
  /** Add a person to the organization, or change their name and role */
  setOrganizationMember: {
    path: { organizationId: string; personId: string };
    body: OrganizationMemberInput;
    answer: undefined;
  };
  /** Take a person out of the organization and all its projects */
  removeOrganizationMember: { path: { organizationId: string; personId: string }; answer: undefined };
  /** The people who are listed in the project itself, by name */
  listProjectMembers: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: ProjectMemberPage;
  };
  /** Add a member of the organization to the project, or change their role */
  setProjectMember: { path: { projectId: string; personId: string }; body: ProjectMemberInput; answer: undefined };
  /** Take a person out of the project */
  removeProjectMember: { path: { projectId: string; personId: string }; answer: undefined };
  /** Everybody who may use the project's secrets in steps, and by which role */
  listBuilders: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: BuilderPage;
  };
  /** The project's keys and those of its organization that cover it, oldest first */
  listProjectKeys: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: KeyPage;
  };
  /** Make a key for the project */
  createProjectKey: { path: { projectId: string }; body: ProjectKeyInput; answer: IssuedKey };
  /** A key of that list, without the key itself */
  getProjectKey: { path: { projectId: string; keyId: string }; answer: Key };
  /** Change a key; its expiry stays */
  changeProjectKey: { path: { projectId: string; keyId: string }; body: ProjectKeyChange; answer: Key };
  /** Stop a key at once and take it off the list */
  deleteProjectKey: { path: { projectId: string; keyId: string }; answer: undefined };
  /** Make a successor with the same name, scopes and access; the old key works on for a while */
  rotateProjectKey: { path: { projectId: string; keyId: string }; body: KeyRotationInput; answer: IssuedKey };
  /** Stop a key at once; it stays in the list */
  revokeProjectKey: { path: { projectId: string; keyId: string }; answer: undefined };
  /** The organization's own keys, oldest first */
  listOrganizationKeys: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: KeyPage;
  };
  /** Make a key for all or some projects of the organization */
  createOrganizationKey: { path: { organizationId: string }; body: OrganizationKeyInput; answer: IssuedKey };
  /** A key of that list, without the key itself */
  getOrganizationKey: { path: { organizationId: string; keyId: string }; answer: Key };
  /** Change a key; its expiry stays */
  changeOrganizationKey: { path: { organizationId: string; keyId: string }; body: OrganizationKeyChange; answer: Key };
  /** Stop a key at once and take it off the list */
  deleteOrganizationKey: { path: { organizationId: string; keyId: string }; answer: undefined };
  /** Make a successor with the same name, scopes and access; the old key works on for a while */
  rotateOrganizationKey: { path: { organizationId: string; keyId: string }; body: KeyRotationInput; answer: IssuedKey };
  /** Stop a key at once; it stays in the list */
  revokeOrganizationKey: { path: { organizationId: string; keyId: string }; answer: undefined };
  /** What keys of the organization and its projects must be like */
  getKeyPolicy: { path: { organizationId: string }; answer: KeyPolicy };
  /** Set what keys that are made or rotated from now on must be like */
  setKeyPolicy: { path: { organizationId: string }; body: KeyPolicyInput; answer: KeyPolicy };
  /** What the key that the request is made with may do, where and until when */
  getOwnKey: { answer: OwnKey };
  /** Make an embed key for a public agent */
  createAgentEmbedKey: { body: AgentEmbedKeyInput; answer: IssuedEmbedKey };
  /** Make an embed key for a public workforce */
  createWorkforceEmbedKey: { body: WorkforceEmbedKeyInput; answer: IssuedEmbedKey };
  /** The project's embed keys, oldest first */
  listEmbedKeys: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: EmbedKeyPage;
  };
  /** An embed key, without the key itself */
  getEmbedKey: { path: { projectId: string; keyId: string }; answer: EmbedKey };
  /** Stop an embed key at once; it stays in the list */
  revokeEmbedKey: { path: { projectId: string; keyId: string }; answer: undefined };
  /** The project's agents and workforces, oldest first */
  listAgents: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      kind?: "agent" | "workforce" | undefined;
    };
    answer: AgentPage;
  };
  /** Make an agent or a workforce */
  createAgent: { path: { projectId: string }; body: AgentInput; answer: Agent };
  /** An agent or a workforce */
  getAgent: { path: { projectId: string; agentId: string }; answer: Agent };
  /** Change an agent or a workforce; made private, its embed keys stop */
  changeAgent: { path: { projectId: string; agentId: string }; body: AgentChange; answer: Agent };
  /** Delete an agent or a workforce, and its embed keys with it */
  deleteAgent: { path: { projectId: string; agentId: string }; answer: undefined };
  /** What credentials can be stored for, with their fields */
  listIntegrations: { answer: IntegrationPage };
  /** The credentials that the project itself has, without secret fields */
  listProjectCredentials: { path: { projectId: string }; answer: CredentialPage };
  /** Switch an integration on with its credential, in the place of what was there */
  setProjectCredential: {
    path: {
      projectId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    body: CredentialInput;
    answer: CredentialVersion;
  };
  /** Switch a credential off, or on again */
  switchProjectCredential: {
    path: {
      projectId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    body: CredentialSwitch;
    answer: undefined;
  };
  /** Remove a credential with its value */
  removeProjectCredential: {
    path: {
      projectId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    answer: undefined;
  };
  /** The credentials that the organization itself has, without secret fields */
  listOrganizationCredentials: { path: { organizationId: string }; answer: CredentialPage };
  /** Switch an integration on with its credential, in the place of what was there */
  setOrganizationCredential: {
    path: {
      organizationId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    body: CredentialInput;
    answer: CredentialVersion;
  };
  /** Switch a credential off, or on again */
  switchOrganizationCredential: {
    path: {
      organizationId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    body: CredentialSwitch;
    answer: undefined;
  };
  /** Remove a credential with its value */
  removeOrganizationCredential: {
    path: {
      organizationId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    answer: undefined;
  };
  /** Which credential of an integration is in force for the project, and why no other */
  explainCredential: {
    path: {
      projectId: string;
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    answer: CredentialExplanation;
  };
  /** The same for every integration whose credentials can be shared */
  listEffectiveCredentials: { path: { projectId: string }; answer: CredentialExplanationPage };
  /** The project's switches of Inherit from Organization, classes first */
  getInheritance: { path: { projectId: string }; answer: Inheritance };
  /** Switch Inherit from Organization for a class, on or off */
  setInheritance: {
    path: { projectId: string; class: "integration" | "model" };
    body: InheritanceInput;
    answer: undefined;
  };
  /** Switch Inherit from Organization for one provider, over the switch of its class */
  setProviderInheritance: {
    path: {
      projectId: string;
      class: "integration" | "model";
      /** Its id in the catalogue, such as `openai` */
      integration: string;
    };
    body: InheritanceInput;
    answer: undefined;
  };
  /** Where the organization stands before the deployment's gates, and whether editors may change credentials */
  getCredentialSettings: { path: { organizationId: string }; answer: CredentialSettings };
  /** Let editors change credentials in the organization's projects, or take it from them */
  setCredentialSettings: {
    path: { organizationId: string };
    body: CredentialSettingsInput;
    answer: CredentialSettings;
  };
  /** Submit a run, and wait for its end if asked to */
  submitRun: {
    path: { projectId: string };
    query: {
      /** How long to wait for the run's end, seconds */
      wait?: number | undefined;
    };
    body: RunInput;
    answer: SubmittedRun;
  };
  /** The project's runs, the newest first */
  listRuns: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      /** Runs in this state; may be given several times */
      status?:
        | readonly (
            | "queued"
            | "running"
            | "succeeded"
            | "failed"
            | "timed_out"
            | "out_of_memory"
            | "limit_exceeded"
            | "cancelled"
            | "crashed"
            | "rejected"
          )[]
        | "queued"
        | "running"
        | "succeeded"
        | "failed"
        | "timed_out"
        | "out_of_memory"
        | "limit_exceeded"
        | "cancelled"
        | "crashed"
        | "rejected"
        | undefined;
      stepId?: string | undefined;
      /** Runs with this label, NAME:VALUE; may be given several times */
      label?: readonly string[] | string | undefined;
      createdAfter?: string | undefined;
      createdBefore?: string | undefined;
    };
    answer: RunPage;
  };
  /** Submit up to 1,000 runs, all or none */
  submitRuns: { path: { projectId: string }; body: RunBatch; answer: SubmittedBatch };
  /** A run, and its result once it has ended */
  getRun: {
    path: { projectId: string; runId: string };
    query: {
      /** How long to wait for the run's end, if it has not come, seconds */
      wait?: number | undefined;
    };
    answer: Run;
  };
  /** Ask for the end of a run that waits or runs */
  cancelRun: { path: { projectId: string; runId: string }; answer: Run };
  /** What a run that succeeded has given; 409 while it has not ended */
  getRunOutput: { path: { projectId: string; runId: string }; answer: RunOutput };
  /** A run's events so far, in order */
  listRunEvents: {
    path: { projectId: string; runId: string };
    query: {
      /** The number of the last event that was seen; the header Last-Event-ID goes before it */
      after?: string | undefined;
      limit?: number | undefined;
    };
    answer: RunEventPage;
  };
  /** A run's events as they come, as server-sent events */
  streamRunEvents: {
    path: { projectId: string; runId: string };
    query: {
      /** The number of the last event that was seen; the header Last-Event-ID goes before it */
      after?: string | undefined;
    };
    stream: RunEvent | undefined;
  };
  /** The same, a line of JSON each */
  streamRunEventLines: {
    path: { projectId: string; runId: string };
    query: {
      /** The number of the last event that was seen; the header Last-Event-ID goes before it */
      after?: string | undefined;
    };
    stream: RunEvent | undefined;
  };
  /** The project's steps, oldest first */
  listSteps: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      /** Only those that are published */
      published?: string | undefined;
    };
    answer: StepPage;
  };
  /** Save a step, as its first version */
  createStep: { path: { projectId: string }; body: StepInput; answer: SavedStep };
  /** A step */
  getStep: { path: { projectId: string; stepId: string }; answer: Step };
  /** A step's versions with their code, the newest first */
  listStepVersions: {
    path: { projectId: string; stepId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: StepVersionPage;
  };
  /** Save the next version of a step */
  createStepVersion: { path: { projectId: string; stepId: string }; body: StepInput; answer: SavedStep };
  /** A version of a step with its code */
  getStepVersion: { path: { projectId: string; stepId: string; version: number }; answer: StepVersion };
  /** Choose the version that runs when none is named */
  publishStep: { path: { projectId: string; stepId: string }; body: Publication; answer: Step };
  /** Run the newest version of a step, or the one that is named, whether it is published or not */
  testStep: {
    path: { projectId: string; stepId: string };
    query: {
      /** How long to wait for the run's end, seconds */
      wait?: number | undefined;
    };
    body: StepTest;
    answer: SubmittedRun;
  };
  /** Which references of a step to secrets would fail, and why, before it is saved */
  checkStep: { path: { projectId: string }; body: StepCheckInput; answer: StepCheck };
  /** The project's schedules, oldest first */
  listSchedules: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SchedulePage;
  };
  /** Save a schedule */
  createSchedule: { path: { projectId: string }; body: ScheduleInput; answer: Schedule };
  /** A schedule */
  getSchedule: { path: { projectId: string; scheduleId: string }; answer: Schedule };
  /** Give a schedule anew, as a whole */
  setSchedule: { path: { projectId: string; scheduleId: string }; body: ScheduleInput; answer: Schedule };
  /** Delete a schedule; its runs stay */
  deleteSchedule: { path: { projectId: string; scheduleId: string }; answer: undefined };
  /** Sign in with a link */
  signIn: { body: SignIn; answer: Session };
  /** List the sessions of the person who asks */
  listSessions: { answer: SessionList };
  /** End all sessions of the person who asks */
  signOutEverywhere: { answer: undefined };
  /** See who asks */
  whoami: { answer: Whoami };
  /** Sign out */
  signOut: { answer: undefined };
  /** The secrets by name, without values; of a project its own and then those that it inherits */
  listSecrets: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SecretPage;
  };
  /** The secrets by name, without values; of a project its own and then those that it inherits (of an organization) */
  listOrganizationSecrets: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SecretPage;
  };
  /** What is known of a secret besides its value */
  getSecret: { path: { projectId: string; secretName: string }; answer: Secret };
  /** Change what is given of a secret's description, tags, expiry, reminder and access */
  changeSecret: { path: { projectId: string; secretName: string }; body: SecretChange; answer: undefined };
  /** Delete a secret; it can be restored with all its versions */
  deleteSecret: { path: { projectId: string; secretName: string }; answer: undefined };
  /** Store a value, or where it is kept, as the next version of a secret */
  setSecret: { path: { projectId: string; secretName: string }; body: SecretInput; answer: StoredSecret };
  /** What is known of a secret besides its value (of an organization) */
  getOrganizationSecret: { path: { organizationId: string; secretName: string }; answer: Secret };
  /** Change what is given of a secret's description, tags, expiry, reminder and access (of an organization) */
  changeOrganizationSecret: {
    path: { organizationId: string; secretName: string };
    body: SecretChange;
    answer: undefined;
  };
  /** Delete a secret; it can be restored with all its versions (of an organization) */
  deleteOrganizationSecret: { path: { organizationId: string; secretName: string }; answer: undefined };
  /** Store a value, or where it is kept, as the next version of a secret (of an organization) */
  setOrganizationSecret: {
    path: { organizationId: string; secretName: string };
    body: SecretInput;
    answer: StoredSecret;
  };
  /** Switch a secret off: runs that refer to it are rejected */
  disableSecret: { path: { projectId: string; secretName: string }; answer: undefined };
  /** Switch a secret off: runs that refer to it are rejected (of an organization) */
  disableOrganizationSecret: { path: { organizationId: string; secretName: string }; answer: undefined };
  /** Switch a secret on again */
  enableSecret: { path: { projectId: string; secretName: string }; answer: undefined };
  /** Switch a secret on again (of an organization) */
  enableOrganizationSecret: { path: { organizationId: string; secretName: string }; answer: undefined };
  /** Undo the deletion of a secret */
  restoreSecret: { path: { projectId: string; secretName: string }; answer: undefined };
  /** Undo the deletion of a secret (of an organization) */
  restoreOrganizationSecret: { path: { organizationId: string; secretName: string }; answer: undefined };
  /** Destroy versions of a secret, or all of it, for good */
  destroySecret: { path: { projectId: string; secretName: string }; body: Destruction; answer: DestroyedSecret };
  /** Destroy versions of a secret, or all of it, for good (of an organization) */
  destroyOrganizationSecret: {
    path: { organizationId: string; secretName: string };
    body: Destruction;
    answer: DestroyedSecret;
  };
  /** Store the same value with another policy as the next version of a secret */
  setSecretPolicy: { path: { projectId: string; secretName: string }; body: SecretPolicyInput; answer: StoredSecret };
  /** Store the same value with another policy as the next version of a secret (of an organization) */
  setOrganizationSecretPolicy: {
    path: { organizationId: string; secretName: string };
    body: SecretPolicyInput;
    answer: StoredSecret;
  };
  /** Store value and policy of an earlier version as the next version of a secret */
  rollbackSecret: { path: { projectId: string; secretName: string }; body: Rollback; answer: StoredSecret };
  /** Store value and policy of an earlier version as the next version of a secret (of an organization) */
  rollbackOrganizationSecret: {
    path: { organizationId: string; secretName: string };
    body: Rollback;
    answer: StoredSecret;
  };
  /** Show a value to a person who may see it; the audit log tells who saw it */
  revealSecret: { path: { projectId: string; secretName: string }; body: RevealInput; answer: RevealedSecret };
  /** Show a value to a person who may see it; the audit log tells who saw it (of an organization) */
  revealOrganizationSecret: {
    path: { organizationId: string; secretName: string };
    body: RevealInput;
    answer: RevealedSecret;
  };
  /** A secret's versions, without values, the newest first */
  listSecretVersions: {
    path: { projectId: string; secretName: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SecretVersionPage;
  };
  /** A secret's versions, without values, the newest first (of an organization) */
  listOrganizationSecretVersions: {
    path: { organizationId: string; secretName: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SecretVersionPage;
  };
  /** Who used a secret: by version, project, step and caller, the latest use first */
  listSecretUses: {
    path: { projectId: string; secretName: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      version?: number | undefined;
      since?: string | undefined;
    };
    answer: SecretUsePage;
  };
  /** Who used a secret: by version, project, step and caller, the latest use first (of an organization) */
  listOrganizationSecretUses: {
    path: { organizationId: string; secretName: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      version?: number | undefined;
      since?: string | undefined;
    };
    answer: SecretUsePage;
  };
  /** Who can act with a secret, the risk in a sentence, and hints */
  getSecretAccess: { path: { projectId: string; secretName: string }; answer: SecretAccess };
  /** Who can act with a secret, the risk in a sentence, and hints (of an organization) */
  getOrganizationSecretAccess: { path: { organizationId: string; secretName: string }; answer: SecretAccess };
  /** Who would break if a secret were deleted or its value changed */
  getSecretDependents: {
    path: { projectId: string; secretName: string };
    query: {
      /** How far back uses are looked for */
      days?: number | undefined;
    };
    answer: SecretDependents;
  };
  /** Who would break if a secret were deleted or its value changed (of an organization) */
  getOrganizationSecretDependents: {
    path: { organizationId: string; secretName: string };
    query: {
      /** How far back uses are looked for */
      days?: number | undefined;
    };
    answer: SecretDependents;
  };
  /** Secrets that no run has used, and nobody changed, for so many days */
  listUnusedSecrets: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      days?: number | undefined;
    };
    answer: SecretPage;
  };
  /** Secrets that no run has used, and nobody changed, for so many days (of an organization) */
  listUnusedOrganizationSecrets: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      days?: number | undefined;
    };
    answer: SecretPage;
  };
  /** Secrets whose reminder is due */
  listStaleSecrets: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SecretPage;
  };
  /** Secrets whose reminder is due (of an organization) */
  listStaleOrganizationSecrets: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
    };
    answer: SecretPage;
  };
  /** What was destroyed, signed, the latest first */
  listSecretTombstones: {
    path: { projectId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      name?: string | undefined;
    };
    answer: SecretTombstonePage;
  };
  /** What was destroyed, signed, the latest first (of an organization) */
  listOrganizationSecretTombstones: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      name?: string | undefined;
    };
    answer: SecretTombstonePage;
  };
  /** Compare every secret's row with what was written */
  verifySecrets: { path: { projectId: string }; answer: SecretVerdict };
  /** Compare every secret's row with what was written (of an organization) */
  verifyOrganizationSecrets: { path: { organizationId: string }; answer: SecretVerdict };
  /** Which secret a name means in the project, and why no other */
  explainSecret: {
    path: { projectId: string; secretName: string };
    query: { stepId?: string | undefined; stepVersion?: number | undefined };
    answer: SecretExplanation;
  };
  /** Whether each of these references to secrets would resolve now */
  checkReferences: { path: { projectId: string }; body: ReferencesInput; answer: StepCheck };
  /** Import a text of secrets, all of it or nothing; or see what that would do */
  importSecrets: { path: { projectId: string }; body: SecretImport; answer: SecretImportResult };
  /** Import a text of secrets, all of it or nothing; or see what that would do (of an organization) */
  importOrganizationSecrets: { path: { organizationId: string }; body: SecretImport; answer: SecretImportResult };
  /** The values of a place's own secrets as a text, for a person who may see them */
  exportSecrets: { path: { projectId: string }; body: SecretExport; answer: SecretExportResult };
  /** The values of a place's own secrets as a text, for a person who may see them (of an organization) */
  exportOrganizationSecrets: { path: { organizationId: string }; body: SecretExport; answer: SecretExportResult };
  /** What the organization has of a text that was found somewhere, and who could read and used it */
  searchLeak: { path: { organizationId: string }; body: LeakSearch; answer: Leak };
  /** End what a search for the same text finds: revoke keys, switch off or replace values */
  endLeak: { path: { organizationId: string }; body: LeakEnd; answer: EndedLeak };
  /** What happened in the organization, the latest first */
  listAuditEvents: {
    path: { organizationId: string };
    query: {
      /** Entries on a page */
      limit?: number | undefined;
      /** `pagination.cursor` of the page before; without one the list begins */
      cursor?: string | undefined;
      /** Only what happened in this project */
      projectId?: string | undefined;
    };
    answer: AuditPage;
  };
  /** Where the audit log ends, signed, to be kept elsewhere */
  getAuditHead: { path: { organizationId: string }; answer: AuditHead };
  /** Read the whole audit log, and tell the first place where it is not what was written */
  verifyAudit: { path: { organizationId: string }; body: AuditVerification; answer: AuditVerdict };
}
