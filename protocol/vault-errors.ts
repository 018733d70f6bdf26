/**
 * Error codes of who may do what, of secrets, keys and credentials, and of their safekeeping. Imports nothing of ours beyond
 * this folder.
 */
import type { ErrorCodeEntry } from "./error-entry.ts";

export const vaultErrors = {
  ERR_PROJECT_UNKNOWN: {
    fault: "user",
    meaning: "No project with this id exists",
    mend: "Use the id of an existing project; names are not accepted",
  },
  ERR_ORGANIZATION_UNKNOWN: {
    fault: "user",
    meaning: "No organization with this id exists",
    mend: "Use the id of an existing organization; names are not accepted",
  },
  ERR_FORBIDDEN: {
    fault: "user",
    meaning: "Whoever asks may not do this: their role, or the scope of their key, does not allow it",
    mend: "The message names the roles and scopes that would do; ask one who has them, or have yours changed",
  },
  ERR_ROLE_UNKNOWN: {
    fault: "user",
    meaning: "A role that does not exist was to be given",
    mend: "Use one of the roles that the message lists",
  },
  ERR_MEMBER_UNKNOWN: {
    fault: "user",
    meaning: "The person is no member of the organization or project",
    mend: "Add the person to the organization first, then to the project",
  },
  ERR_MEMBER_LAST_OWNER: {
    fault: "user",
    meaning: "The organization would be left without an owner",
    mend: "Make somebody else an owner first",
  },
  ERR_AUDIT_HEAD_INVALID: {
    fault: "user",
    meaning: "A kept head of the audit log was not signed by this deployment for this organization",
    mend: "Give the head as it was exported, to the deployment that exported it",
  },
  ERR_KEY_MALFORMED: {
    fault: "user",
    meaning: "What was presented as a platform key does not have the form of one",
    mend: "Send the key as it was given, whole and without quotes or blanks; see [platform keys](keys-api.md)",
  },
  ERR_KEY_CHECKSUM: {
    fault: "user",
    meaning: "A platform key was mistyped or cut: its checksum does not fit",
    mend: "Copy the key again from where it is kept",
  },
  ERR_KEY_REGION: {
    fault: "user",
    meaning: "A platform key of another region was presented",
    mend: "Send the request to the region that the key names",
  },
  ERR_KEY_UNKNOWN: {
    fault: "user",
    meaning: "No platform key is the one that was presented",
    mend: "Check which deployment the key is for; make a new key if it is lost",
  },
  ERR_KEY_REVOKED: {
    fault: "user",
    meaning: "The platform key was revoked or deleted",
    mend: "Make a new key",
  },
  ERR_KEY_EXPIRED: {
    fault: "user",
    meaning: "The platform key's life is over, or its overlap after a rotation is",
    mend: "Rotate the key before it ends, or use its successor",
  },
  ERR_KEY_PARENT: {
    fault: "user",
    meaning: "An embed key's maker may no longer do what the key does: their key ended or they lost access",
    mend: "Make a new embed key with a key or as a person that may start runs in the project",
  },
  ERR_KEY_BROWSER: {
    fault: "user",
    meaning: "A platform key came from a browser, or an embed key from an origin that is not on its list",
    mend: "Keep keys that begin with sk- on servers; in pages use an embed key, from its own origins",
  },
  ERR_KEY_BUDGET: {
    fault: "limit",
    meaning: "An embed key made more requests than its budget, in total or in this minute",
    mend: "Wait for the next minute, or make a key with a larger budget",
  },
  ERR_KEY_ID_UNKNOWN: {
    fault: "user",
    meaning: "No platform key or embed key with this id exists here",
    mend: "List the keys of the project or organization and use an id from there",
  },
  ERR_KEY_INHERITED: {
    fault: "user",
    meaning: "A key of the organization was to be changed through a project that inherits it",
    mend: "Change the key in the organization",
  },
  ERR_KEY_ROTATED: {
    fault: "user",
    meaning: "The key was rotated before; it has a successor",
    mend: "Rotate the successor",
  },
  ERR_KEY_INVALID: {
    fault: "user",
    meaning: "A platform key was asked for with a name, scopes, projects, origins or a budget that cannot be",
    mend: "Compare the request with docs/keys-api.md; the message names the rule",
  },
  ERR_KEY_EXPIRY_INVALID: {
    fault: "user",
    meaning: "A platform key was asked for with an expiry that is not allowed",
    mend: "Use none or 7 to 90 days, within the organization's policy; the message has the figures",
  },
  ERR_AGENT_UNKNOWN: {
    fault: "user",
    meaning: "No agent or workforce with this id exists in the project",
    mend: "Use the id of an existing agent or workforce; names are not accepted",
  },
  ERR_AGENT_PRIVATE: {
    fault: "user",
    meaning: "The agent or workforce of an embed key is not public",
    mend: "Make it public first, if everybody may use it",
  },
  ERR_AGENT_INVALID: {
    fault: "user",
    meaning: "The name or the steps of an agent or workforce cannot be",
    mend: "Use a name of 1 to 200 characters and steps of the same project",
  },
  ERR_NAME_INVALID: {
    fault: "user",
    meaning: "The name of an organization or project is empty, too long or not Unicode text",
    mend: "Use 1 to 200 characters",
  },
  ERR_SECRET_UNKNOWN: {
    fault: "user",
    meaning: "A referenced secret does not exist in the project or is not granted to it",
    mend: "Create the secret in this project or mend the name; the message gives the closest existing name",
  },
  ERR_SECRET_DISABLED: {
    fault: "user",
    meaning: "A referenced secret exists but is switched off",
    mend: "Enable the secret, or refer to another one",
  },
  ERR_SECRET_DELETED: {
    fault: "user",
    meaning: "A referenced secret was deleted and can still be restored",
    mend: "Restore the secret, set it anew, or refer to another one",
  },
  ERR_SECRET_EXPIRED: {
    fault: "user",
    meaning: "A referenced secret is past its expiry",
    mend: "Set a new value with a new expiry, or take the expiry away",
  },
  ERR_SECRET_DESTROYED: {
    fault: "user",
    meaning: "The value of the version was destroyed for good",
    mend: "Set a new value, and with it the policy: the old one went with the value",
  },
  ERR_SECRET_NOT_GRANTED: {
    fault: "user",
    meaning: "The organization has the referenced secret, and it is not granted to the project",
    mend: "Have an organization's admin grant it to the project, or create one in the project",
  },
  ERR_SECRET_NOT_ALLOWED: {
    fault: "user",
    meaning: "The policy of a referenced secret is for other steps, agents or roles than those of this run",
    mend: "Use it in a saved step that its policy names, or have the policy changed; the message says which rule it is",
  },
  ERR_SECRET_SEALED: {
    fault: "user",
    meaning: "The value of a sealed secret was to be shown",
    mend: "Sealed values are never shown; set a new value when the old one is lost",
  },
  ERR_SECRET_VERSION_CONFLICT: {
    fault: "user",
    meaning: "The secret was changed by somebody else meanwhile: it is not at the version that was expected",
    mend: "Look at the version that the message names, and set it again from there",
  },
  ERR_SECRET_VERSION_UNKNOWN: {
    fault: "user",
    meaning: "The secret has no such version",
    mend: "Use a version from its history; old ones are pruned",
  },
  ERR_SECRET_METADATA_INVALID: {
    fault: "user",
    meaning: "The description, tags, expiry, reminder or access of a secret cannot be",
    mend: "The message names the rule; a value never belongs in any of them",
  },
  ERR_SECRET_LIMIT: {
    fault: "limit",
    meaning: "A project or organization has as many secrets as it may have",
    mend: "Destroy secrets that nothing uses (the list of unused ones has them), or use another project",
  },
  ERR_LEAK_TEXT_INVALID: {
    fault: "user",
    meaning: "The text to look for leaked values in is empty or too large",
    mend: "Give the value or key that was found, or the part of the file that holds it",
  },
  ERR_SECRET_NAME_INVALID: {
    fault: "user",
    meaning: "A secret's name does not follow the rule for names",
    mend: "Use a letter or underscore, then letters, digits and underscores, at most 128 in all",
  },
  ERR_SECRET_VALUE_INVALID: {
    fault: "user",
    meaning: "A secret's value is empty, too large or not valid UTF-8 text",
    mend: "Store 1 to 65,536 bytes of UTF-8",
  },
  ERR_SECRET_POLICY_INVALID: {
    fault: "user",
    meaning: "A secret's policy does not match the schema, or would loosen what the secret was sealed for",
    mend: "Compare the policy with docs/sealed-secrets.md; a sealed secret needs hosts, and becomes readable only with a new value",
  },
  ERR_SECRET_TAMPERED: {
    fault: "system",
    meaning:
      "A stored secret does not decrypt: its ciphertext, its row or the master key is not the one it was sealed with",
    mend: "Check the master key; if it is right, restore the row from a backup and look for who changed it",
  },
  ERR_INTEGRATION_UNKNOWN: {
    fault: "user",
    meaning: "No integration or model provider with this id is in the catalogue",
    mend: "Use one of the ids that the message lists",
  },
  ERR_CREDENTIAL_UNKNOWN: {
    fault: "user",
    meaning: "There is no credential for the integration where it was looked for",
    mend: "Set one in the project, or in its organization",
  },
  ERR_CREDENTIAL_INVALID: {
    fault: "user",
    meaning: "A field of a credential is missing, unknown, or not of the form that the integration has",
    mend: "The message names each wrong field and its rule; see docs/credentials.md",
  },
  ERR_CREDENTIAL_DISABLED: {
    fault: "user",
    meaning: "The credential that would be used is switched off",
    mend: "Switch it on; or remove the project's, and the organization's takes its place",
  },
  ERR_CREDENTIAL_NOT_INHERITED: {
    fault: "user",
    meaning: "The organization has a credential for the model provider, and the project does not inherit it",
    mend: "Turn on Inherit from Organization in the project, or set a credential of its own",
  },
  ERR_INHERITANCE_FIXED: {
    fault: "user",
    meaning:
      "Inheritance was to be switched for a class that does not exist, or whose credentials every project inherits",
    mend: "Switch it for the class model or one of its providers; elsewhere set a credential in the project",
  },
  ERR_PLAN_REQUIRED: {
    fault: "user",
    meaning: "Credentials of an organization need the plan enterprise, and the organization has another",
    mend: "Change the plan, or set the credential in the projects",
  },
  ERR_ROLLOUT_PENDING: {
    fault: "user",
    meaning: "The organization has the plan for credentials of its own; they are not rolled out to it yet",
    mend: "Wait for the rollout or ask the operator; until then set the credential in the projects",
  },
  ERR_OAUTH_NOT_SHAREABLE: {
    fault: "user",
    meaning: "The integration works by OAuth, whose connections belong to accounts and cannot be shared",
    mend: "Have each user connect their own account, or connect a service account",
  },
  ERR_MASTER_KEY_INVALID: {
    fault: "system",
    meaning: "The master key is missing, malformed, readable by others, or not the one the database was sealed with",
    mend: "Give STEPVAULT_MASTER_KEY as 32 bytes of base64, or restore master.key in the data directory with mode 0600",
  },
  ERR_KMS_UNAVAILABLE: {
    fault: "system",
    meaning: "The key management service that holds the root key does not answer, or refuses to wrap or unwrap",
    mend: "Check STEPVAULT_KMS, its credentials and whether it answers; keys that were used lately go on working for a while",
  },
  ERR_KEY_ROTATION: {
    fault: "system",
    meaning: "A step of the root key's rotation does not fit the state that the rotation is in",
    mend: "Stage, promote, rewrap and retire in this order; see docs/keys.md",
  },
  ERR_SECRET_SOURCE_UNKNOWN: {
    fault: "user",
    meaning: "A secret points to an outside source that this deployment does not have",
    mend: "Use the name of a source that the operator lists; see [secret sources](secret-sources.md)",
  },
  ERR_SECRET_SOURCE_INVALID: {
    fault: "user",
    meaning: "A pointer to an outside source is malformed, or its path could leave what the project may read",
    mend: "Give source, path and field as docs/secret-sources.md has them; the message names each rule",
  },
  ERR_SECRET_SOURCE_UNAVAILABLE: {
    fault: "system",
    meaning: "An outside source does not answer, is sealed or a standby, or its answer cannot be used",
    mend: "Check that the source is up and reachable, and its entry in STEPVAULT_SECRET_SOURCES_FILE; the message has the reason",
  },
  ERR_SECRET_SOURCE_DENIED: {
    fault: "system",
    meaning: "An outside source does not let this deployment's token read there",
    mend: "Renew the token in the source's tokenFile, or allow its policy to read below the source's prefix",
  },
  ERR_SECRET_SOURCE_MISSING: {
    fault: "user",
    meaning: "An outside source has nothing at a secret's path, field or version, or has deleted it",
    mend: "Write the value there, below the project's prefix, or mend the pointer; the message says which part is missing",
  },
  ERR_SECRETS_TEXT_INVALID: {
    fault: "user",
    meaning:
      "A text of secrets, `.env` lines or JSON, has faults, or what was to be written does not fit into such a text",
    mend: "Mend each line or entry that the message names; see [files of secrets](secrets-files.md)",
  },
  ERR_CLIENT_INVALID: {
    fault: "user",
    meaning: "The client library was given a region, base URL or limit that cannot be",
    mend: "The message names the rule; a base URL is https, or http on loopback; see [the client library](client.md)",
  },
  ERR_CLIENT_DEFAULT: {
    fault: "user",
    meaning: "The client library was asked for the default client, and there is none or it is not clear which",
    mend: "Use the client that createClient gave, or choose one with Client.setDefault",
  },
  ERR_CLIENT_REQUEST: {
    fault: "user",
    meaning: "The client library did not send a request: it would go elsewhere, show the key, or is malformed",
    mend: "Give a path below the base URL with its parts encoded; the message names the rule",
  },
  ERR_CLIENT_REDIRECT: {
    fault: "system",
    meaning: "The server answered the client library with a redirect, which is not followed as the key would go along",
    mend: "Set the base URL to where the API itself answers",
  },
  ERR_CLIENT_NETWORK: {
    fault: "system",
    meaning: "The client library got no whole answer: there is no connection, or it broke",
    mend: "Check the base URL and the network; in a browser also whether the server allows the page's origin",
  },
  ERR_CLIENT_TIMEOUT: {
    fault: "system",
    meaning: "The client library got no whole answer in the time that an attempt may take",
    mend: "Try again, or allow more time; the message has the figure",
  },
  ERR_CLIENT_ANSWER: {
    fault: "system",
    meaning: "The client library got an answer that is too large or no JSON",
    mend: "Check that the base URL is the API's; ask for fewer things at once, or allow more bytes",
  },
  ERR_UNAUTHENTICATED: {
    fault: "user",
    meaning: "A request has no credential, or one that does not work: a token, or a session that is over",
    mend: "Send a platform key or a token in the Authorization header, or sign in again; see [signing in](sign-in.md)",
  },
  ERR_CREDENTIAL_AMBIGUOUS: {
    fault: "user",
    meaning: "A request has more than one credential, so that it is not clear who asks",
    mend: "Send one Authorization header, or one session cookie, and not both",
  },
  ERR_CROSS_SITE: {
    fault: "user",
    meaning: "A request with a session's cookie, or one that signs in, came from another site or is not JSON",
    mend: "Send it from a page of the API's own origin, as application/json; programs elsewhere use a platform key",
  },
  ERR_SIGN_IN_LINK_INVALID: {
    fault: "user",
    meaning: "A sign-in link was used before, is over, or was never made",
    mend: "Get a new link from the operator; when you did not use it, have the sessions that it gave ended",
  },
  ERR_SIGN_IN_OFF: {
    fault: "user",
    meaning: "This deployment cannot keep sessions: it answers without TLS, and not only on loopback",
    mend: "Have the operator set STEPVAULT_API_PUBLIC_URL to the https address of the API, or use a platform key",
  },
  ERR_ISSUER_UNAVAILABLE: {
    fault: "system",
    meaning: "The issuer of tokens does not answer, or what it says about its keys cannot be used",
    mend: "Check STEPVAULT_OIDC_ISSUER and STEPVAULT_OIDC_JWKS_URL, and that this machine reaches them",
  },
  ERR_PROJECT_LIMITS_INVALID: {
    fault: "user",
    meaning: "A limit of a project is no whole number, or not one that is allowed",
    mend: "Use null for the deployment's, or a number within the bounds that the message names",
  },
  ERR_ALREADY_DONE: {
    fault: "user",
    meaning: "A request was sent again with the same Idempotency-Key: it was carried out, and nothing was done now",
    mend: "Look at what was made, whose id the message has; a key that got lost with its answer is rotated or revoked",
  },
  ERR_IDEMPOTENCY_KEY_USED: {
    fault: "user",
    meaning: "An Idempotency-Key was used in the last day for another request",
    mend: "Use a new one for each request, and the same one only to send the same request again",
  },
} as const satisfies Record<`ERR_${string}`, ErrorCodeEntry>;
