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
  ERR_REQUEST_INVALID: {
    fault: "user",
    meaning: "A request to the API cannot be read, or does not match the schema of its route",
    mend: "`errors` of the answer names each wrong place and its rule; compare the request with the OpenAPI document",
  },
  ERR_KEY_IN_URL: {
    fault: "user",
    meaning: "A request to the API had a platform key in its URL, where proxies and logs keep it",
    mend: "Send keys in the Authorization header only, and rotate the key that was in the URL",
  },
  ERR_ROUTE_UNKNOWN: {
    fault: "user",
    meaning: "The API has no route with this path",
    mend: "Compare the path with the OpenAPI document",
  },
  ERR_METHOD_UNKNOWN: {
    fault: "user",
    meaning: "The API's route does not take this method",
    mend: "Use one of the methods in the header Allow of the answer",
  },
  ERR_BODY_TOO_LARGE: {
    fault: "limit",
    meaning:
      "The body of a request to the API is larger than STEPVAULT_API_BODY_BYTES_MAX, or an embed key's than 1 MiB",
    mend: "Send less at once, or have the operator raise the limit",
  },
  ERR_BODY_TYPE: {
    fault: "user",
    meaning: "The body of a request to the API is not of a type or an encoding that the route takes",
    mend: "Send JSON in UTF-8 with the content type application/json, not compressed",
  },
  ERR_HEADERS_TOO_LARGE: {
    fault: "limit",
    meaning: "A request to the API has too many headers, or too large ones",
    mend: "Send at most 100 headers of 16 KiB in all",
  },
  ERR_REQUEST_TIMEOUT: {
    fault: "user",
    meaning: "A request to the API did not arrive whole in the time that it may take",
    mend: "Send it again; look for what is slow between the client and the API",
  },
  ERR_RATE_LIMIT: {
    fault: "limit",
    meaning: "Too many requests to the API in this minute, or too many whose key or session was not valid",
    mend: "Wait as long as the header Retry-After says",
  },
  ERR_CURSOR_INVALID: {
    fault: "user",
    meaning: "A cursor is not one that this list gave",
    mend: "Use the cursor of the page before as it is, with the same filters, or begin without one",
  },
  ERR_PRECONDITION: {
    fault: "user",
    meaning: "The thing is not in the state that the header If-Match or If-None-Match of the request asks for",
    mend: "Read it again, and send the ETag that it has now",
  },
  ERR_NOT_READY: {
    fault: "system",
    meaning: "The API cannot serve: it is about to stop, or something that it needs is not there",
    mend: "Try again in a moment; /readyz names the part that is missing",
  },
  ERR_WORKER_STOPPED: {
    fault: "system",
    meaning: "The worker that ran the step was stopped, and the step did not end in the time that it was given",
    mend: "Run it again if that does no harm, or declare `retry` on the step; the operator may raise STEPVAULT_SHUTDOWN_MS_MAX",
  },
  ERR_RUN_CONFLICT: {
    fault: "user",
    meaning: "A run was submitted with the id, or the idempotency key, of another request",
    mend: "Use a new id for each request, and the same one only to send the same request again",
  },
  ERR_RUN_NOT_ENDED: {
    fault: "user",
    meaning: "What was asked for is there only once the run has ended",
    mend: "Wait for the run's end, for instance by its events",
  },
  ERR_NEED_FAILED: {
    fault: "user",
    meaning: "A run that this one waited for did not succeed, so this one did not start",
    mend: "Look at the run that the message names, and submit both again",
  },
  ERR_API_LISTEN: {
    fault: "user",
    meaning: "The API cannot listen where the settings say",
    mend: "Stop what listens there, or choose another STEPVAULT_API_HOST or STEPVAULT_API_PORT; 0 is any free port",
  },
  ERR_SCHEDULE_INVALID: {
    fault: "user",
    meaning: "A schedule cannot be saved as it is",
    mend: "Give five fields of cron, an IANA time zone, and a job without an id, a time or needs of its own",
  },
  ERR_SCHEDULE_UNKNOWN: {
    fault: "user",
    meaning: "The project has no schedule with this id",
    mend: "Look at the project's list of schedules",
  },
  ERR_PROJECT_RATE: {
    fault: "limit",
    meaning: "The project has submitted as many runs in this minute as it may",
    mend: "Submit later, or have the project's runs per minute raised",
  },
  ERR_PROJECT_FULL: {
    fault: "limit",
    meaning: "The project has as many waiting runs as there may be",
    mend: "Submit later: something submits faster than the workers run",
  },
  ERR_USAGE: {
    fault: "user",
    meaning: "A command was called with words or options that it does not have, or without some that it needs",
    mend: "Ask the command itself: stepvault help COMMAND",
  },
  ERR_ARGUMENT_SECRET: {
    fault: "user",
    meaning: "A command was given what looks like a key as an argument; nothing was done",
    mend: "Take it for leaked, as others see arguments and shells keep them; give values on stdin, at the prompt or in a file",
  },
  ERR_MCP_BUSY: {
    fault: "limit",
    meaning: "An MCP client has as many calls of tools under way as there may be",
    mend: "Call again when one of the others has ended",
  },
  ERR_MCP_OUTPUT: {
    fault: "limit",
    meaning: "A step's output is too large to be given to an MCP client",
    mend: "Have the step give less; the run, whose id the message has, keeps all of it",
  },
} as const satisfies Record<`ERR_${string}`, ErrorCodeEntry>;
