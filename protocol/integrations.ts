/**
 * The catalogue of what credentials can be stored for: integrations and model providers, each with its fields. A class
 * decides how an organization's credential reaches its projects. Patterns are loose where a provider may change its keys:
 * they catch the wrong thing pasted, not every wrong key. docs/credentials.md has its table from here. Imports nothing of
 * ours beyond this folder.
 */
import { StepvaultError } from "./error.ts";

/** `auto`: every project has what the organization has. `opt_in`: a project that turned on "Inherit from Organization". */
export const inheritanceModes = { integration: "auto", model: "opt_in" } as const;
export type IntegrationClass = keyof typeof inheritanceModes;

export type CredentialKind = "shared" | "per-user";

export interface CredentialField {
  readonly name: string;
  readonly required: boolean;
  /** A secret one is sealed and never shown; any other is shown in lists, and bound to what is sealed. */
  readonly secret: boolean;
  readonly pattern: RegExp;
  /** The pattern in words, for messages and docs. */
  readonly rule: string;
  readonly help: string;
}

export interface Integration {
  readonly id: string;
  readonly name: string;
  readonly class: IntegrationClass;
  /** Users connect their own account: there is nothing to share, and no field. */
  readonly oauth: boolean;
  /** Whose credential it is: one key that all share, or a connection of each user's own. */
  readonly kind: CredentialKind;
  readonly fields: readonly CredentialField[];
}

type FieldText = Pick<CredentialField, "name" | "help">;

const secretField = ({ name, help }: FieldText, required = true): CredentialField => ({
  name,
  required,
  secret: true,
  pattern: /^[\x21-\x7e]{8,4096}$/,
  rule: "8 to 4,096 visible ASCII characters without blanks",
  help,
});

const clearField = (field: FieldText & Pick<CredentialField, "pattern" | "rule">): CredentialField => ({
  required: true,
  secret: false,
  ...field,
});

const apiKey = (help: string): CredentialField[] => [secretField({ name: "api_key", help })];

// No user, query or fragment: people put keys there, and the address is shown.
const baseUrl = clearField({
  name: "base_url",
  pattern: /^https?:\/\/[A-Za-z0-9.-]{1,253}(?::\d{1,5})?(?:\/[A-Za-z0-9._~/-]{0,500})?$/,
  rule: "an http or https address without user, query or fragment",
  help: "Where the gateway answers, such as https://gateway.example.com/v1",
});

const virtualKey = secretField({ name: "virtual_key", help: "Stands for a provider's key at the gateway" }, false);

function integration(id: string, name: string, fields: readonly CredentialField[]): Integration {
  return { id, name, class: "integration", oauth: false, kind: "shared", fields };
}

function oauthIntegration(id: string, name: string): Integration {
  return { id, name, class: "integration", oauth: true, kind: "per-user", fields: [] };
}

function model(id: string, name: string, fields: readonly CredentialField[]): Integration {
  return { id, name, class: "model", oauth: false, kind: "shared", fields };
}

const catalogue: readonly Integration[] = [
  model("openai", "OpenAI", apiKey("platform.openai.com, API keys")),
  model("anthropic", "Anthropic", apiKey("Anthropic Console, API keys")),
  model("gemini", "Gemini", apiKey("aistudio.google.com, API keys")),
  model("xai", "X-AI", apiKey("xAI Console, API keys")),
  model("deepseek", "DeepSeek", apiKey("platform.deepseek.com, API keys")),
  model("mistral", "Mistral", apiKey("Mistral AI Studio, API keys")),
  model("perplexity", "Perplexity", apiKey("perplexity.ai, settings, API")),
  model("bedrock", "Amazon Bedrock", [
    {
      ...secretField({ name: "access_key_id", help: "Of an IAM user or role that may invoke models" }),
      pattern: /^[A-Z0-9]{16,128}$/,
      rule: "16 to 128 capital letters and digits",
    },
    secretField({ name: "secret_access_key", help: "Comes with the access key id" }),
    clearField({
      name: "region",
      pattern: /^[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-\d{1,2}$/,
      rule: "a region of AWS, such as eu-central-1",
      help: "Where the models are",
    }),
    secretField({ name: "session_token", help: "With temporary credentials only" }, false),
  ]),
  model("vertex-ai", "Vertex AI", [
    clearField({
      name: "project",
      pattern: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/,
      rule: "the id of a Google Cloud project: 6 to 30 small letters, digits and dashes",
      help: "The Google Cloud project that is billed",
    }),
    clearField({
      name: "location",
      pattern: /^[a-z0-9]{1,32}(?:-[a-z0-9]{1,32}){0,3}$/,
      rule: "a location of Google Cloud, such as europe-west4 or global",
      help: "Where the models are",
    }),
    {
      ...secretField({ name: "service_account", help: "The JSON file of a service account's key, as it is" }),
      pattern: /^\{[\t\n\r\x20-\x7e]{2,20000}\}\s{0,4}$/,
      rule: "a JSON object of at most 20,000 ASCII characters",
    },
  ]),
  model("portkey", "Portkey", [baseUrl, ...apiKey("app.portkey.ai, API keys"), virtualKey]),
  model("litellm", "LiteLLM", [baseUrl, ...apiKey("The proxy's master key, or one made with it"), virtualKey]),
  integration("slack", "Slack", [
    {
      ...secretField({ name: "bot_token", help: "api.slack.com, your app, OAuth & Permissions, Bot User OAuth Token" }),
      pattern: /^xox[a-z]-[A-Za-z0-9-]{8,500}$/,
      rule: "a token that begins with xoxb-, or with another letter for b",
    },
  ]),
  integration("hubspot", "HubSpot", [
    secretField({ name: "access_token", help: "Of a private app: settings, integrations, private apps" }),
  ]),
  integration("notion", "Notion", [
    secretField({ name: "token", help: "notion.so/my-integrations, internal integration secret" }),
  ]),
  integration("airtable", "Airtable", [
    secretField({ name: "token", help: "airtable.com/create/tokens, personal access token" }),
  ]),
  integration("github", "GitHub", [
    secretField({ name: "token", help: "A fine-grained personal access token, for the repositories needed" }),
  ]),
  integration("jira", "Jira", [
    clearField({
      name: "site",
      pattern: /^[a-z0-9][a-z0-9.-]{0,252}$/,
      rule: "a host's name, such as example.atlassian.net",
      help: "The site's host",
    }),
    clearField({
      name: "email",
      pattern: /^[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}$/,
      rule: "an email address",
      help: "Of the account that the token belongs to; best a service account",
    }),
    secretField({ name: "api_token", help: "id.atlassian.com, security, API tokens" }),
  ]),
  integration("sendgrid", "SendGrid", apiKey("app.sendgrid.com, settings, API keys")),
  integration("twilio", "Twilio", [
    clearField({
      name: "account_sid",
      pattern: /^AC[0-9a-f]{32}$/,
      rule: "AC and 32 hexadecimal digits",
      help: "Twilio Console, account info",
    }),
    secretField({ name: "auth_token", help: "Stands beside the account SID" }),
  ]),
  integration("serpapi", "SerpApi", apiKey("serpapi.com/manage-api-key")),
  integration("firecrawl", "Firecrawl", apiKey("firecrawl.dev, API keys")),
  oauthIntegration("salesforce", "Salesforce"),
  oauthIntegration("google-drive", "Google Drive"),
];

/** By id, in the order of the docs. */
export const integrations: ReadonlyMap<string, Integration> = new Map(catalogue.map((entry) => [entry.id, entry]));

/** Throws ERR_INTEGRATION_UNKNOWN, without the id: somebody may have pasted a key in its place. */
export function findIntegration(id: string): Integration {
  const found = integrations.get(id);
  if (found !== undefined) return found;
  throw new StepvaultError(
    "ERR_INTEGRATION_UNKNOWN",
    `Cannot find the integration: none has this id of ${id.length} characters; there are ${[...integrations.keys()].join(", ")}`,
  );
}

/** Throws ERR_OAUTH_NOT_SHAREABLE; `action` is for the message. */
export function checkShareable({ name, oauth }: Integration, action: string): void {
  if (!oauth) return;
  throw new StepvaultError(
    "ERR_OAUTH_NOT_SHAREABLE",
    `Cannot ${action} a credential of ${name}: it works by OAuth, where users connect their own account, or a service account, and share none`,
  );
}

/**
 * The given fields in the order of the catalogue. Throws ERR_CREDENTIAL_INVALID, which names each wrong field with its rule,
 * counts the unknown ones, and shows no value.
 */
export function parseCredentialFields(
  { name, fields }: Integration,
  given: Readonly<Record<string, string>>,
): { field: CredentialField; value: string }[] {
  const values = new Map<string, unknown>(Object.entries(given));
  const faults: string[] = [];
  const parsed: { field: CredentialField; value: string }[] = [];
  for (const field of fields) {
    const value = values.get(field.name);
    values.delete(field.name);
    if (value === undefined && !field.required) continue;
    if (typeof value === "string" && field.pattern.test(value)) parsed.push({ field, value });
    else faults.push(`${field.name} must be ${field.rule}`);
  }
  if (values.size > 0)
    faults.push(`${values.size} of its fields are unknown; there are ${fields.map((field) => field.name).join(", ")}`);
  const secrets = parsed.filter(({ field }) => field.secret).map(({ value }) => value.toLowerCase());
  for (const { field, value } of parsed) {
    if (!field.secret && secrets.some((secret) => value.toLowerCase().includes(secret)))
      faults.push(`${field.name} is shown to people and must not hold what is secret`);
  }
  if (faults.length === 0) return parsed;
  throw new StepvaultError("ERR_CREDENTIAL_INVALID", `Cannot set the credential of ${name}: ${faults.join("; ")}`);
}
