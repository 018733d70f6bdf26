/** The environment as commands read it: the deployment's settings, and apart from them what only commands have. */
import { type Config, parseConfig } from "../protocol/config.ts";

/** Names the file with the platform key that commands with --url use. No setting of a deployment. */
const keyFileName = "STEPVAULT_KEY_FILE";

/** Throws ERR_CONFIG_INVALID. */
export function readSettings(): Config {
  const { [keyFileName]: _keyFile, ...settings } = process.env;
  return parseConfig(settings);
}

export function keyFileOfEnvironment(): string | undefined {
  return process.env[keyFileName];
}
