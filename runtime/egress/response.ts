/**
 * The body of an answer as the step may have it: counted against its limit once decompressed, and with the values of
 * sealed secrets masked. What the filter holds back for the rest of a value is passed on when the server pauses, as far
 * as it tells nothing, so that events that a server sends one by one arrive one by one.
 */
import type { Readable } from "node:stream";
import { StepvaultError } from "../../protocol/error.ts";
import type { ResponseFilter, ResponseStream } from "./secrets.ts";

const pauseMs = 100;

export interface ResponseOptions {
  readonly filter: ResponseFilter | undefined;
  readonly responseBytesMax: number;
  /** What is thrown for an error. */
  readonly onError: (error: unknown) => StepvaultError;
  /** Called once, however it ends. */
  readonly onEnd: () => void;
}

/** Throws ERR_EGRESS_FAILED or ERR_LIMIT_RESPONSE_BYTES. */
export async function* readResponse(
  url: URL,
  body: Readable,
  { filter, responseBytesMax, onError, onEnd }: ResponseOptions,
): AsyncGenerator<Uint8Array, void> {
  const stream = filter?.stream();
  let bytes = 0;
  try {
    for await (const chunk of withPauses(body, stream)) {
      if (chunk === undefined) {
        yield* nonEmpty([stream?.release()]);
        continue;
      }
      bytes += chunk.length;
      if (bytes > responseBytesMax) {
        throw new StepvaultError(
          "ERR_LIMIT_RESPONSE_BYTES",
          `Cannot read the response of ${url.host}: more than ${responseBytesMax} bytes (responseBytesMax)`,
        );
      }
      yield* nonEmpty(stream === undefined ? [chunk] : stream.pieces(chunk));
    }
    yield* nonEmpty([stream?.end()]);
  } catch (error) {
    throw onError(error);
  } finally {
    body.destroy();
    onEnd();
  }
}

function* nonEmpty(pieces: readonly (Uint8Array | undefined)[]): Generator<Uint8Array> {
  for (const piece of pieces) if (piece !== undefined && piece.length > 0) yield piece;
}

/** The chunks, and undefined once whenever none has come for a while and something is held back. */
async function* withPauses(
  body: Readable,
  stream: ResponseStream | undefined,
): AsyncGenerator<Uint8Array | undefined, void> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, void>;
  for (;;) {
    const next = chunks.next();
    if (stream !== undefined && stream.heldBytes > 0 && !(await arrivesWithin(next, pauseMs))) yield undefined;
    const { value, done } = await next;
    if (done === true) return;
    yield value;
  }
}

async function arrivesWithin(next: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const pause = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  const arrived = next.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([arrived, pause]);
  clearTimeout(timer);
  return inTime;
}
