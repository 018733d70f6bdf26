/**
 * Run by tests in a process of its own: opens the database of a data directory, says "ready", and closes it when stdin
 * ends.
 */
import { text } from "node:stream/consumers";
import { openDatabase } from "../../database/connection.ts";
import { parseConfig } from "../../protocol/config.ts";

const database = await openDatabase(parseConfig({ STEPVAULT_DATA_DIR: process.argv[2] }));
await database.query("select count(*) from runs");
process.stdout.write("ready\n");
await text(process.stdin);
await database.close();
