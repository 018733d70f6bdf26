/** A name server on loopback, for names whose addresses a test decides, one question after the other. */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const TYPE_A = 1;
const NO_SUCH_NAME = 3;

export interface TestNameServer {
  /** `address:port`, as a resolver takes it. */
  readonly address: string;
  /** Every question for an address so far. */
  readonly asked: string[];
  close(): void;
}

/** `addressesOf` gives the IPv4 addresses of a name, undefined for one that does not exist; IPv6 it has none. */
export async function startNameServer(
  addressesOf: (name: string, timesAsked: number) => readonly string[] | undefined,
): Promise<TestNameServer> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (question, { address, port }) => {
    const { name, end } = readName(question, 12);
    const isA = question.readUInt16BE(end) === TYPE_A;
    if (isA) asked.push(name);
    const times = asked.filter((each) => each === name).length;
    const found = addressesOf(name, times);
    const addresses = isA ? (found ?? []) : [];
    const header = Buffer.alloc(12);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (found === undefined ? NO_SUCH_NAME : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(addresses.length, 6);
    // Each answer points at the name in the question, and may not be kept.
    const answers = addresses.map((each) =>
      Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, ...each.split(".").map(Number)]),
    );
    socket.send(Buffer.concat([header, question.subarray(12, end + 4), ...answers]), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { address: `127.0.0.1:${socket.address().port}`, asked, close: () => void socket.close() };
}

function readName(message: Buffer, from: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = from;
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  return { name: labels.join(".").toLowerCase(), end: at + 1 };
}
