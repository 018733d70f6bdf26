/** Which addresses count as public: none of the ranges that lead to a private network, directly or by translation. */
import { describe, expect, test } from "vitest";
import { isPublicAddress } from "../../../runtime/egress/address.ts";

describe("addresses", () => {
  test.each([
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:1::",
    "ff02::1",
    "2001:db8::1",
    "::7f00:1",
    "::a9fe:a9fe",
    "fe00::1",
    "4000::1",
    "168.63.129.16",
  ])("%s is not public", (address) => expect(isPublicAddress(address)).toBe(false));
  test.each(["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])("%s is public", (address) =>
    expect(isPublicAddress(address)).toBe(true),
  );
});
