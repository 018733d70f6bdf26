/**
 * The AWS SDK, tied down: it signs, finds and renews credentials, tries again a few times and corrects a wrong clock. Its
 * requests go through kms-http.ts and to one endpoint only: the variables and profiles from which it takes credentials
 * could else send keys elsewhere. Its errors hold the service's answers, so none leaves here. Not loaded until used.
 */
import type { KMSClient, KMSClientConfig } from "@aws-sdk/client-kms";
import { codeOf, exchange, failureOnTheWay, unavailable } from "./kms-http.ts";

/** Tries of one call, the first among them. */
const attemptsMax = 3;

/** What the SDK reads of an answer's headers. Not `retry-after`, by which it would wait, and keep a process, for hours. */
const headersKept = ["content-type", "date", "x-amzn-errortype", "x-amzn-requestid"];

export async function createAwsClient(region: string, endpoint: string): Promise<KMSClient> {
  const sdk = await import("@aws-sdk/client-kms");
  return new sdk.KMSClient({
    region,
    endpoint,
    // Either would replace the endpoint, or be refused beside it.
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    maxAttempts: attemptsMax,
    retryMode: "standard",
    requestHandler: handlerTo(endpoint),
  });
}

function handlerTo(endpoint: string): NonNullable<KMSClientConfig["requestHandler"]> {
  return {
    async handle({ headers, body }: SdkRequest, { abortSignal }: { abortSignal?: unknown } = {}) {
      // fetch says these two itself.
      const { host: _host, "content-length": _length, ...rest } = headers;
      const answer = await exchange(`${endpoint}/`, {
        method: "POST",
        headers: rest,
        // Bytes of a kind that warns when Buffer looks at them.
        body: typeof body === "string" ? body : new TextDecoder().decode(body as Uint8Array),
        signal: abortSignal as AbortSignal,
      }).catch((error: unknown) => {
        // A kept connection that ended meanwhile: under this code the SDK knows that another try helps.
        if (codeOf(error) === "UND_ERR_SOCKET") throw Object.assign(new Error("closed"), { code: "ECONNRESET" });
        throw error;
      });
      const kept = headersKept.map((name) => [name, answer.headers.get(name)] as const);
      const given = Object.fromEntries(kept.filter((entry): entry is [string, string] => entry[1] !== null));
      return { response: { statusCode: answer.status, headers: given, body: answer.body } };
    },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
  };
}

interface SdkRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Whether the service says that a blob is not its own, is another key's, or has another context. */
export function isBrokenSeal(error: unknown): boolean {
  const { name, $metadata } = error as SdkError;
  const said = name === "InvalidCiphertextException" || name === "IncorrectKeyException";
  return said && $metadata?.httpStatusCode === 400;
}

interface SdkError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** By the service's names of errors, and the SDK's; any other name may be anything. */
const whys: ReadonlyMap<string, string> = new Map([
  ["NotFoundException", "it has no such key"],
  ["DisabledException", "its key is disabled"],
  ["KMSInvalidStateException", "its key may not be used in its state, such as pending deletion"],
  ["KeyUnavailableException", "its key is not available"],
  ["InvalidKeyUsageException", "its key is not for this"],
  ["AccessDeniedException", "the credentials do not allow it"],
  ["ExpiredTokenException", "the credentials have expired"],
  ["UnrecognizedClientException", "the credentials are not known"],
  ["InvalidSignatureException", "the signature is wrong: another secret access key, or a clock that is off"],
  ["ThrottlingException", "too many requests"],
  ["LimitExceededException", "too many requests"],
  ["DependencyTimeoutException", "it could not answer in time"],
  ["KMSInternalException", "it failed by itself"],
  ["CredentialsProviderError", "no credentials were found"],
  ["TokenProviderError", "no credentials were found"],
]);

/** An error in our words. */
export function awsFailure(action: string, error: unknown): Error {
  const { name, $metadata } = error as SdkError;
  const why = whys.get(name);
  if (why !== undefined) return unavailable(`${action}: ${why} (${name})`);
  const status = $metadata?.httpStatusCode;
  if (status !== undefined) return unavailable(`${action}: it answers ${status}`);
  if (error instanceof SyntaxError) return unavailable(`${action}: its answer is not JSON`);
  return failureOnTheWay(error);
}
