/** A disk of its own for servers, so that it can be full: a tmpfs, which only root may mount. Elsewhere an ordinary folder. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const bytesMax = 1024 * 1024 * 1024;

export class Disk {
  readonly folder: string;
  /** Whether it can be filled. */
  readonly bounded: boolean;

  constructor() {
    this.folder = mkdtempSync(path.join(tmpdir(), "stepvault-chaos-"));
    this.bounded = this.#mount();
  }

  /** Takes every byte that is left. */
  fill(): void {
    const file = openSync(this.#filler, "w", 0o600);
    try {
      for (const bytes of [1024 * 1024, 4_096, 1]) writeUntilFull(file, Buffer.alloc(bytes, 1));
    } finally {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  remove(): void {
    if (this.bounded) execFileSync("umount", ["--lazy", this.folder], { stdio: "ignore" });
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #filler(): string {
    return path.join(this.folder, "filler");
  }

  #mount(): boolean {
    if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
    try {
      const options = ["-t", "tmpfs", "-o", `size=${bytesMax},mode=0755`, "stepvault-chaos", this.folder];
      execFileSync("mount", options, { stdio: "ignore" });
      return true;
    } catch {
      return false; // A container may lack the right.
    }
  }
}

function writeUntilFull(file: number, block: Buffer): void {
  for (let written = 0; written < bytesMax; written += block.length) {
    try {
      if (writeSync(file, block) < block.length) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOSPC") return;
      throw error;
    }
  }
}
