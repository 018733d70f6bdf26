/**
 * Questions to the worker for whose answer the isolate's thread waits, as synchronous Python code asks them: a response
 * is read part by part, and a part that comes while nobody waits is kept. Their ids are negative, so that they never
 * meet those of the guest's other requests.
 */
import type { ResponseMessage, SignedMessage } from "../bridge/messages.ts";

export type Answer = ResponseMessage | SignedMessage;

interface Blocked {
  readonly parts: Answer[];
  waiting: ((part: Answer) => void) | undefined;
}

const nothing: Omit<ResponseMessage, "id"> = { type: "response", ended: true };

export class BlockedCalls {
  #blocked = new Map<number, Blocked>();
  #lastId = 0;

  /** A new call, and its id. */
  open(): number {
    const id = --this.#lastId;
    this.#blocked.set(id, { parts: [], waiting: undefined });
    return id;
  }

  /** The next part of an answer; an end for a call that is over. */
  async next(id: number): Promise<Answer> {
    const blocked = this.#blocked.get(id);
    if (blocked === undefined) return { ...nothing, id };
    const part = blocked.parts.shift() ?? (await new Promise<Answer>((resolve) => (blocked.waiting = resolve)));
    if (part.type === "signed" || part.ended) this.#blocked.delete(id);
    return part;
  }

  /** Hands a part to who waits for it. False when it is not for one of these calls. */
  give(part: Answer): boolean {
    if (part.id >= 0) return false;
    const blocked = this.#blocked.get(part.id);
    const waiting = blocked?.waiting;
    if (waiting === undefined) blocked?.parts.push(part);
    else {
      blocked!.waiting = undefined;
      waiting(part);
    }
    return true;
  }

  /** Forgets a call whose answer is not wanted. */
  drop(id: number): void {
    this.#blocked.delete(id);
  }

  /** Ends every wait. */
  close(): void {
    for (const [id, { waiting }] of this.#blocked) waiting?.({ ...nothing, id });
    this.#blocked.clear();
  }
}
