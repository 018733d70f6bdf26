/**
 * Which adapter a setting such as STEPVAULT_KMS asks for. Makes no request: whether the service answers shows with the first
 * call. Knows nothing of the database and of keys in files.
 */
import { awsAddress, gcpAddress } from "../../protocol/kms-address.ts";
import { AwsKms } from "./kms-aws.ts";
import { GcpKms } from "./kms-gcp.ts";
import { unavailable } from "./kms-http.ts";
import { TransitKms } from "./kms-transit.ts";
import type { KmsAdapter } from "./kms.ts";

export interface KmsChoice {
  readonly source: string;
  readonly endpoint: string | undefined;
  readonly tokenFile: string;
}

export function chooseKms({ source, endpoint, tokenFile }: KmsChoice): KmsAdapter {
  if (awsAddress.test(source)) return new AwsKms({ source, endpoint });
  if (gcpAddress.test(source)) return new GcpKms({ source, endpoint });
  if (endpoint !== undefined)
    throw unavailable("find it: Transit's address stands in STEPVAULT_KMS, not in an endpoint");
  return new TransitKms({ source, tokenFile });
}
