/**
 * Error codes of jobs and steps, of their limits and requests, and of the service that runs them. Imports nothing of ours
 * beyond this folder.
 */
import type { ErrorCodeEntry } from "./error-entry.ts";

export const runErrors = {
  ERR_JOB_INVALID: {
    fault: "user",
    meaning: "The job payload does not match the schema",
    mend: "Compare the payload with the job contract; the message lists each wrong path and its rule",
  },
  ERR_LANGUAGE_UNKNOWN: {
    fault: "user",
    meaning: "The step names a language that does not exist here",
    mend: "Use `javascript`, `typescript` or `python`",
  },
  ERR_STEP_UNKNOWN: {
    fault: "user",
    meaning: "No step with this id and version exists in the project",
    mend: "Push the step first, or send its code in the job",
  },
  ERR_STEP_REFERENCES: {
    fault: "user",
    meaning: "References of the step to secrets would fail when it runs",
    mend: "The message lists each with its reason; mend the secrets or the step, or save it unchecked",
  },
  ERR_STEP_SYNTAX: {
    fault: "user",
    meaning: "The step's code does not parse",
    mend: "Mend the code at the line and column that the error gives",
  },
  ERR_STEP_TYPESCRIPT: {
    fault: "user",
    meaning:
      "The step uses TypeScript syntax that cannot be run by leaving types out (enum, namespace, parameter property)",
    mend: "Write it in JavaScript: an object for an enum, assignments for parameter properties, `as T` for `<T>`",
  },
  ERR_PACKAGE_UNKNOWN: {
    fault: "user",
    meaning: "The step imports a package that the operator has not installed",
    mend: "Ask the operator to add the package, or do without it; Node's own modules are not available",
  },
  ERR_PACKAGES_INVALID: {
    fault: "system",
    meaning: "A folder of packages does not match its lock file, or holds what cannot run here",
    mend: "Compare the folder with its lock file; after a wanted change run `stepvault packages lock DIR` again",
  },
  ERR_STEP_THREW: {
    fault: "user",
    meaning: "The step's code raised an error that it did not handle",
    mend: "Read the message, the line and the stack; handle the error or mend its cause",
  },
  ERR_STEP_EXITED: {
    fault: "user",
    meaning: "The step ended its own interpreter (sys.exit, os._exit, abort or a fatal interpreter error)",
    mend: "Use `return` to end a step",
  },
  ERR_STEP_STALLED: {
    fault: "user",
    meaning: "The step waits for a promise that nothing can settle any more",
    mend: "Await something that finishes: a timer, a fetch, or a promise that your code resolves",
  },
  ERR_REFERENCE_POSITION: {
    fault: "user",
    meaning: "A secret reference stands where no value can be (an identifier, an import specifier, a tagged template)",
    mend: "Move the reference into a string literal or use it as an expression",
  },
  ERR_REFERENCE_COUNT: {
    fault: "limit",
    meaning: "The step holds more secret references than one step may",
    mend: "Bind the secret to a variable once and use the variable",
  },
  ERR_INPUTS_TEMPLATE: {
    fault: "user",
    meaning: "A template in the step's inputs uses a tag other than a secret reference, or does not parse",
    mend: "Between << and >> only secrets.NAME is allowed; sections, partials and lambdas are not",
  },
  ERR_OUTPUT_NOT_JSON: {
    fault: "user",
    meaning: "The step returned something that JSON cannot hold",
    mend: "Return null, booleans, finite numbers, strings, arrays and plain objects; the message gives the path",
  },
  ERR_LIMIT_WALL_TIME: {
    fault: "limit",
    meaning: "The run took longer than its wall-clock limit",
    mend: "Make the step faster, split it, or raise limits.wallTimeMsMax",
  },
  ERR_LIMIT_CPU_TIME: {
    fault: "limit",
    meaning: "The run used more processor time than its limit",
    mend: "Make the step cheaper, split it, or raise limits.cpuTimeMsMax",
  },
  ERR_LIMIT_MEMORY: {
    fault: "limit",
    meaning: "The run used more memory than its limit",
    mend: "Hold less at once, or raise limits.memoryBytesMax",
  },
  ERR_LIMIT_STDOUT: {
    fault: "limit",
    meaning: "The run printed more bytes or lines than its limit",
    mend: "Print less, or raise limits.stdoutBytesMax or limits.stdoutLinesMax",
  },
  ERR_LIMIT_LOG: {
    fault: "limit",
    meaning: "The run wrote more log entries or log bytes than its limit",
    mend: "Log less, or raise limits.logEntriesMax or limits.logBytesMax",
  },
  ERR_LIMIT_OUTPUT: {
    fault: "limit",
    meaning: "The step's output is larger or deeper than its limit",
    mend: "Return less, or raise limits.outputBytesMax or limits.outputDepthMax",
  },
  ERR_LIMIT_BRIDGE_CALLS: {
    fault: "limit",
    meaning: "The run made more calls to the host than its limit",
    mend: "Call less often (batch timers and requests), or raise limits.bridgeCallsMax",
  },
  ERR_LIMIT_TIMERS: {
    fault: "limit",
    meaning: "The run had more timers pending at once than its limit",
    mend: "Keep fewer timers pending, or raise limits.timersMax",
  },
  ERR_LIMIT_REQUESTS: {
    fault: "limit",
    meaning: "The run made more network requests than its limit",
    mend: "Make fewer requests, or raise limits.requestsMax",
  },
  ERR_LIMIT_REQUEST_BYTES: {
    fault: "limit",
    meaning: "A request body is larger than its limit",
    mend: "Send less in one request, or raise limits.requestBytesMax",
  },
  ERR_LIMIT_UPLOAD_BYTES: {
    fault: "limit",
    meaning: "All request bodies of the run together are larger than their limit",
    mend: "Send less, or raise limits.uploadBytesMax",
  },
  ERR_LIMIT_DOWNLOAD_BYTES: {
    fault: "limit",
    meaning: "All response bodies of the run together are larger than their limit",
    mend: "Ask for less, or raise limits.downloadBytesMax",
  },
  ERR_LIMIT_RESPONSE_BYTES: {
    fault: "limit",
    meaning: "A response body is larger than its limit",
    mend: "Ask for less in one response, or raise limits.responseBytesMax",
  },
  ERR_LIMIT_PAYLOAD: {
    fault: "limit",
    meaning: "The code, params, inputs or earlier outputs of the job are larger than their limit",
    mend: "Send less data with the job; pass large data by reference",
  },
  ERR_LIMIT_TOO_HIGH: {
    fault: "user",
    meaning: "The step asks for a limit above the maximum that the operator allows",
    mend: "Lower the limit in the step, or have the operator raise its maximum",
  },
  ERR_NETWORK_POLICY_INVALID: {
    fault: "user",
    meaning: "A network policy is neither none nor open nor a list of rules",
    mend: "Write each rule as [METHODS ][scheme://]host[:port]; see docs/steps.md#network",
  },
  ERR_EGRESS_REFUSED: {
    fault: "user",
    meaning: "A network request was refused by the step's policy or because its address is private",
    mend: "Add the host to the step's network policy; the operator can open a private host:port pair",
  },
  ERR_EGRESS_FAILED: {
    fault: "user",
    meaning: "A network request could not be completed (name, connection, TLS, timeout or protocol)",
    mend: "Check the URL and whether the server answers; the message gives the kind of failure",
  },
  ERR_EGRESS_GUARD: {
    fault: "user",
    meaning: "A request held the value of a secret and was bound for a host that is not one of the secret's",
    mend: "Send the secret to its own hosts only, or add the host to the secret's policy; see docs/sealed-secrets.md",
  },
  ERR_SEALED_REFUSED: {
    fault: "user",
    meaning: "A sealed secret was to go to a host, over a connection or into a place that its policy does not allow",
    mend: "The message names the secret and what is not allowed; allow it in the secret's policy, or send the secret another way",
  },
  ERR_SIGN_INVALID: {
    fault: "user",
    meaning: "Something cannot be signed: the options are wrong, or the secret is no key of the kind that they need",
    mend: "Compare the options with docs/sealed-secrets.md; keys for RS256 and ES256 are PEM",
  },
  ERR_RUN_CANCELLED: {
    fault: "user",
    meaning: "The run was cancelled before it ended",
    mend: "Submit it again if it is still wanted",
  },
  ERR_SANDBOX_CRASHED: {
    fault: "system",
    meaning: "The sandbox host process ended in the middle of the run",
    mend: "Look at the step for a memory or interpreter fault; if it is innocent, report it with the run id",
  },
  ERR_SANDBOX_START: {
    fault: "system",
    meaning: "The sandbox host process could not start",
    mend: "Check that Node is version 26 or newer and that npm installed isolated-vm and pyodide; the log has the reason",
  },
  ERR_SANDBOX_LAYER: {
    fault: "system",
    meaning: "A layer of the sandbox is required by STEPVAULT_SANDBOX_LAYERS and is not on",
    mend: "Install bubblewrap and util-linux and allow user namespaces, or set STEPVAULT_SANDBOX_LAYERS to prefer",
  },
  ERR_BRIDGE_PROTOCOL: {
    fault: "system",
    meaning: "The sandbox host sent a message that is not of the bridge's schema",
    mend: "Treat the step as hostile; report it with the run id",
  },
  ERR_REDACTION_FAILED: {
    fault: "system",
    meaning: "A chunk of output could not be redacted, so it was withheld and the run failed",
    mend: "Report it with the run id; nothing unredacted was stored",
  },
  ERR_WORKER_LOST: {
    fault: "system",
    meaning: "The worker that held the run died, and the step may have had effects",
    mend: "Check what the step did, then submit it again",
  },
  ERR_FILE_UNREADABLE: {
    fault: "user",
    meaning: "A file named on the command line cannot be read, or does not hold what it should",
    mend: "Check the path, its permissions, and that the file is JSON or text as the command's help says",
  },
  ERR_CONFIG_INVALID: {
    fault: "system",
    meaning: "One or more STEPVAULT_* settings are wrong",
    mend: "The message lists every wrong key with its rule; see docs/configuration.md",
  },
  ERR_DATABASE: {
    fault: "system",
    meaning: "PostgreSQL could not be started or reached, or refused a statement",
    mend: "Check STEPVAULT_DATABASE_URL, or the embedded server's log in the data directory",
  },
  ERR_REDIS_EVICTION: {
    fault: "system",
    meaning: "Redis may evict keys, so it could lose jobs",
    mend: "Set maxmemory-policy to noeviction in Redis",
  },
  ERR_REDIS: {
    fault: "system",
    meaning: "Redis could not be reached or is too old",
    mend: "Check STEPVAULT_REDIS_URL and that Redis is version 6.2 or newer",
  },
  ERR_INTERNAL: {
    fault: "system",
    meaning: "Something failed that should not have; its details are in the service's log",
    mend: "Report it with the run id",
  },
  ERR_RUN_UNKNOWN: {
    fault: "user",
    meaning: "No run with this id exists in the project",
    mend: "Check the run id and that it is a run of this project; a job added to the queue is a run once a worker has it",
  },
} as const satisfies Record<`ERR_${string}`, ErrorCodeEntry>;
