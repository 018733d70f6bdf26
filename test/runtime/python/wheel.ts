/** Wheels for tests: written by hand, or made from Debian's python3-* packages, which hold real, pure Python. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { rootCertificates } from "node:tls";
import { crc32 } from "node:zlib";

/** Writes an archive of uncompressed files, which is all that a wheel has to be. */
export function writeWheel(file: string, contents: Readonly<Record<string, string | Uint8Array>>): void {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, content] of Object.entries(contents)) {
    const body = Buffer.from(content as string);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(0x21, 8);
    fields.writeUInt32LE(crc32(body), 10);
    fields.writeUInt32LE(body.length, 14);
    fields.writeUInt32LE(body.length, 18);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, Buffer.from(name), body]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), fields, tail, Buffer.from(name)]));
    locals.push(local);
    at += local.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(at, 16);
  writeFileSync(file, Buffer.concat([...locals, entries, end]));
}

/**
 * Makes a wheel of each Debian package in a folder: of this machine's release, or of a named one. Needs apt and a mirror;
 * without them the test fails and says so.
 */
export function debianWheels(
  folder: string,
  packages: readonly string[],
  { release }: { release?: string } = {},
): void {
  const work = path.join(folder, "debian");
  mkdirSync(work, { recursive: true });
  const names = packages.map((name) => `python3-${name}`);
  if (release === undefined) download(work, names);
  else downloadOf(release, work, names);
  for (const name of packages) {
    const archive = readdirSync(work).find((file) => file.startsWith(`python3-${name}_`)) ?? "";
    const unpacked = path.join(work, name);
    execFileSync("dpkg-deb", ["-x", path.join(work, archive), unpacked]);
    const root = path.join(unpacked, "usr/lib/python3/dist-packages");
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const contents = files.map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return [path.relative(root, file), readFileSync(file)] as const;
    });
    writeWheel(path.join(folder, `${name}-1.0-py3-none-any.whl`), Object.fromEntries(contents));
  }
}

/** The package certifi as it is elsewhere: Debian's has no certificates of its own and takes the machine's. */
export function writeCertifi(folder: string): void {
  writeWheel(path.join(folder, "certifi-1.0-py3-none-any.whl"), {
    "certifi/__init__.py": 'def where(): return __file__.replace("__init__.py", "cacert.pem")',
    "certifi/cacert.pem": rootCertificates.join("\n"),
  });
}

function download(cwd: string, packages: readonly string[]): void {
  const options = { cwd, stdio: "ignore" } as const;
  try {
    execFileSync("apt-get", ["download", ...packages], options);
  } catch {
    execFileSync("apt-get", ["update"], options);
    execFileSync("apt-get", ["download", ...packages], options);
  }
}

/** With lists and a cache of its own, so that the machine's stay as they are. */
function downloadOf(release: string, cwd: string, packages: readonly string[]): void {
  const own = path.join(cwd, "apt");
  for (const folder of ["lists/partial", "cache/archives/partial"])
    mkdirSync(path.join(own, folder), { recursive: true });
  const sources = path.join(own, "sources.list");
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  writeFileSync(sources, `deb [signed-by=${keyring}] ${mirror()} ${release} main\n`);
  const settings = {
    "Dir::Etc::sourcelist": sources,
    "Dir::Etc::sourceparts": "-",
    "Dir::State::Lists": path.join(own, "lists"),
    "Dir::Cache": path.join(own, "cache"),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  execFileSync("apt-get", ["update", ...options], { stdio: "ignore" });
  execFileSync("apt-get", ["download", ...options, ...packages], { cwd, stdio: "ignore" });
}

/** From where this machine has its packages. */
function mirror(): string {
  const ask = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"];
  const known = (): string => execFileSync("apt-get", ask, { encoding: "utf8" }).split("\n")[0] ?? "";
  if (known() === "") execFileSync("apt-get", ["update"], { stdio: "ignore" });
  return known();
}
